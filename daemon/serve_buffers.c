/* SPDX-License-Identifier: MIT */
/* CREATE, ADOPT and SEAL: how buffers come to be, and get their seals. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "evict.h"
#include "sealing.h"
#include "seals.h"
#include "serve.h"
#include "target.h"

/* Buffers, connections and closes that wait share the descriptor table; a reserve stays for the broker's own work. */
static int check_descriptor_budget(struct request *request)
{
    struct broker *broker = request->broker;
    uint64_t used = broker->quota.held[RESOURCE_BUFFERS] + broker->quota.held[RESOURCE_FOREIGN];
    uint64_t limit = broker->config->limits.all[RESOURCE_BUFFERS];

    if (used + broker->reaper.pending < limit)
        return 0;
    if (used < limit && request->has_evicted) /* for this one, and the workers are still about to close them */
        return REQUEST_AGAIN;
    struct limit_met met = {.kind = LIMIT_OF_ALL,
                            .key = limits_key(RESOURCE_BUFFERS),
                            .amount = 1,
                            .value = broker->config->limits.all[RESOURCE_BUFFERS]};
    return refuse_limit(request, SEALBUF_ERR_LIMIT, &met);
}

static int check_size(struct request *request, uint64_t size)
{
    uint64_t greatest = request->broker->config->limits.buffer_size;

    if (size <= greatest)
        return 0;
    return refuse(request, SEALBUF_ERR_SIZE, "%llu bytes are more than the limit buffer-size=%llu",
                  (unsigned long long)size, (unsigned long long)greatest);
}

static int check_executable(struct request *request, const struct create_request *in)
{
    struct peer *peer = request->peer;

    if (!(in->flags & SEALBUF_CREATE_EXECUTABLE))
        return 0;
    if (request->broker->own_descriptors < 0)
        return refuse_with_remedy(request, SEALBUF_ERR_UNSUPPORTED,
                                  "an executable buffer is only for clients in the broker's pid namespace, and the "
                                  "broker has no /proc to tell; have /proc mounted where it runs");
    int own = credentials_are_of_own_pid_namespace(&peer->who, peer->socket);
    if (own > 0)
        return 0;
    if (own < 0)
        return refuse(request, own == -ENOMEM ? SEALBUF_ERR_MEMORY : SEALBUF_ERR_TABLE_FULL, "%s", "");
    return refuse(request, SEALBUF_ERR_DENIED,
                  "an executable buffer is only for clients in the broker's pid namespace (vm.memfd_noexec)");
}

static int refuse_creation(struct request *request, const struct create_request *in, int r)
{
    switch (r) {
    case -EFBIG:
        return refuse(request, SEALBUF_ERR_SIZE, "%llu bytes are more than the broker's RLIMIT_FSIZE allows",
                      (unsigned long long)in->size);
    case -EINVAL:
        if (in->flags & SEALBUF_CREATE_HUGE)
            return refuse(request, SEALBUF_ERR_SIZE, "%llu bytes are not a multiple of the huge page",
                          (unsigned long long)in->size);
        return refuse(request, SEALBUF_ERR_UNSUPPORTED, "the broker's kernel does not know one of these seals");
    case -ENODEV:
    case -ENOSYS:
        return refuse(request, SEALBUF_ERR_UNSUPPORTED, "the broker's kernel has no huge pages of this size");
    case -EACCES:
        return refuse(request, SEALBUF_ERR_UNSUPPORTED,
                      "the broker's kernel forbids executable memfds (vm.memfd_noexec)");
    case -EMFILE:
    case -ENFILE:
        return refuse(request, SEALBUF_ERR_TABLE_FULL, "%s", "");
    case -ENOMEM:
        return refuse(request, SEALBUF_ERR_MEMORY, "%s", "");
    default:
        return refuse(request, SEALBUF_ERR_INTERNAL, "the memfd cannot be created: %s", strerror(-r));
    }
}

/*
 * The seals come before the descriptor is anybody's, so nobody can hold the inode's lock, and nothing waits. fchmod is
 * for the same reason done here and never later.
 */
static int make_memfd(struct request *request, const struct create_request *in)
{
    char label[SEALBUF_MAX_LABEL + 1];
    struct memfd_spec spec = {
        .label = label,
        .size = in->size,
        .seals = seals_at_birth(in->seals, in->flags),
        .huge_shift = in->huge_shift,
        .huge = !!(in->flags & SEALBUF_CREATE_HUGE),
        .exec = !!(in->flags & SEALBUF_CREATE_EXECUTABLE),
        .mode = in->flags & SEALBUF_CREATE_EXECUTABLE ? 0555 : 0444,
    };

    if (in->label.length)
        memcpy(label, in->label.data, in->label.length);
    label[in->label.length] = '\0';
    int fd = memfd_create_spec(&spec);
    return fd < 0 ? -refuse_creation(request, in, fd) : fd;
}

static uint16_t info_flags(const struct create_request *in)
{
    uint16_t flags = 0;

    if (in->flags & SEALBUF_CREATE_EXECUTABLE)
        flags |= SEALBUF_INFO_EXECUTABLE;
    if (in->flags & SEALBUF_CREATE_HUGE)
        flags |= SEALBUF_INFO_HUGE;
    return flags;
}

static void set_creator(struct buffer_spec *spec, struct credentials *who)
{
    spec->owner = who->uid;
    spec->creator = who->pid;
    spec->creator_pidfd = credentials_pidfd(who);
    spec->creator_security = SPAN(credentials_security(who));
}

/* Before the memfd is made: it may take several turns. */
static int make_room(struct request *request, uint64_t size, struct span label, struct span metadata)
{
    struct credentials *who = &request->peer->who;
    const struct need needs[] = {
        {RESOURCE_BUFFERS, 1},
        {RESOURCE_BYTES, size},
        {RESOURCE_METADATA, (uint64_t)label.length + metadata.length + strlen(credentials_security(who))},
    };

    int r = evict_for(request, who->uid, needs, sizeof(needs) / sizeof(needs[0]));
    return r ? r : check_descriptor_budget(request);
}

/* The descriptor becomes a buffer of the peer's, and the reply says so. Takes *fd on success. */
static int enter(struct request *request, const struct buffer_spec *spec, int *fd, struct buffer **buffer,
                 union reply_record *out)
{
    struct limit_met met;
    int r = buffer_enter(&request->broker->buffers, spec, fd, &request->peer->held, buffer, &met);
    if (r)
        return refuse_limit(request, r, &met);
    out->buffer.seals = spec->seals;
    out->buffer.id = (*buffer)->id;
    out->buffer.size = spec->size;
    out->buffer.flags = spec->flags;
    out->buffer.owner = spec->owner;
    out->buffer.group = request->peer->who.gid;
    out->buffer.creator_pid = (uint32_t)spec->creator;
    out->buffer.created_ns = (*buffer)->created_ns;
    return 0;
}

int serve_create(struct request *request, const union request_record *record, union reply_record *out)
{
    const struct create_request *in = &record->create;
    struct buffer *buffer = NULL;

    if (in->huge_shift && !(in->flags & SEALBUF_CREATE_HUGE))
        return refuse(request, SEALBUF_ERR_FLAGS, "a huge page's size is given, but no huge pages are asked for");
    int r = check_size(request, in->size);
    if (r == 0)
        r = check_executable(request, in);
    if (r == 0)
        r = make_room(request, in->size, in->label, in->metadata);
    if (r)
        return r;
    CLEANUP(cleanup_close)
    int fd = make_memfd(request, in);
    if (fd < 0)
        return -take_fd(&fd);
    struct buffer_spec spec = {
        .size = in->size,
        .seals = seals_at_birth(in->seals, in->flags),
        .flags = info_flags(in),
        .label = in->label,
        .metadata = in->metadata,
    };
    set_creator(&spec, &request->peer->who);
    if (in->flags & SEALBUF_CREATE_EXECUTABLE) /* the kernel adds seals where EXEC is asked for */
        memfd_get_seals(fd, &spec.seals);
    else
        spec.seals |= request->broker->birth_seals;
    r = enter(request, &spec, &fd, &buffer, out);
    if (r)
        return r;
    request_ship(request, buffer);
    out->buffer.descriptors = 1;
    return 0;
}

/*
 * The order matters. F_GETFL and F_GET_SEALS ask no file system: the descriptor may be of one whose server never
 * answers, and fstat(2) would wait for it. And the seals are taken before the size: the other way round, the client
 * could change the size in between, and seal that. That the broker can read it is tried out, since its mode is the
 * owner's to choose.
 */
static int check_adopted(struct request *request, const struct adopt_request *in, int fd, struct stat *st,
                         uint32_t *seals)
{
    char text[SEALS_TEXT_SIZE];
    int mode = fcntl(fd, F_GETFL);

    if (mode < 0 || mode & O_PATH)
        return refuse(request, SEALBUF_ERR_ACCESS_MODE, "%s", "");
    if (memfd_get_seals(fd, seals) < 0 || fstat(fd, st) < 0 || !S_ISREG(st->st_mode) ||
        !memfd_devices_contain(&request->broker->devices, st->st_dev))
        return refuse(request, SEALBUF_ERR_NOT_MEMFD, "%s", "");
    if ((mode & O_ACCMODE) != O_RDWR)
        return refuse(request, SEALBUF_ERR_ACCESS_MODE, "%s", "");
    int r = check_size(request, (uint64_t)st->st_size);
    if (r)
        return r;
    if (!seals_contain(*seals, in->seals))
        return refuse(request, SEALBUF_ERR_NOT_SEALED, "the descriptor lacks %s",
                      seals_format(in->seals & ~*seals, text));
    if (request->broker->own_descriptors < 0)
        return refuse_with_remedy(
            request, SEALBUF_ERR_UNSUPPORTED,
            "the broker has no /proc to try whether it can open the memfd for reading; create the "
            "buffer with the broker, or have /proc mounted where it runs");
    CLEANUP(cleanup_close)
    int reader = memfd_reopen_at(request->broker->own_descriptors, fd, O_RDONLY);
    if (reader == -EMFILE || reader == -ENFILE)
        return refuse(request, SEALBUF_ERR_TABLE_FULL, "%s", "");
    if (reader < 0)
        return refuse(request, SEALBUF_ERR_ACCESS_MODE, "the broker cannot open the memfd for reading: %s",
                      strerror(-reader));
    return 0;
}

int serve_adopt(struct request *request, const union request_record *record, union reply_record *out)
{
    const struct adopt_request *in = &record->adopt;
    int *fd = &request->descriptors->fd[request->index];
    struct buffer *buffer = NULL;
    struct stat st = {0};
    uint32_t seals = 0;
    int r = check_adopted(request, in, *fd, &st, &seals);

    if (r == 0)
        r = make_room(request, (uint64_t)st.st_size, in->label, in->metadata);
    if (r)
        return r;
    struct buffer_spec spec = {
        .size = (uint64_t)st.st_size,
        .seals = seals,
        .flags = SEALBUF_INFO_ADOPTED,
        .label = in->label,
        .metadata = in->metadata,
    };
    set_creator(&spec, &request->peer->who);
    return enter(request, &spec, fd, &buffer, out);
}

int check_seal(struct request *request, const struct seal_request *in, struct buffer **buffer)
{
    const struct credentials *who = &request->peer->who;

    if (in->id == 0)
        return refuse(request, SEALBUF_ERR_TARGET, "the id is 0");
    *buffer = target_buffer(request, in->id);
    if (!*buffer || (*buffer)->claim)
        return refuse(request, SEALBUF_ERR_NOT_FOUND, "there is no buffer with id %llu", (unsigned long long)in->id);
    if (who->uid != 0 && who->uid != (*buffer)->owner)
        return refuse(request, SEALBUF_ERR_DENIED, "buffer %llu is another user's", (unsigned long long)in->id);
    return 0;
}

int serve_seal(struct request *request, const union request_record *record, union reply_record *out)
{
    const struct seal_request *in = &record->seal;
    struct buffer *buffer = NULL;
    int r = check_seal(request, in, &buffer);

    if (r)
        return r;
    r = sealing_check(request, buffer, in->seals, false, &out->outcome.seals);
    if (r)
        return r;
    out->outcome.id = in->id;
    return 0;
}
