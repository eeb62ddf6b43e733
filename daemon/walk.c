/* SPDX-License-Identifier: MIT */
#include "walk.h"

#include <string.h>

#include "registry.h"

static int compare(struct span a, struct span b)
{
    uint32_t common = a.length < b.length ? a.length : b.length;
    int r = common ? memcmp(a.data, b.data, common) : 0;

    return r ? r : (a.length > b.length) - (a.length < b.length);
}

static bool is_behind(struct span text, const struct walk_place *place)
{
    return !place->is_behind || compare(text, (struct span){place->text, place->length}) > 0;
}

bool range_contains(const struct walk_range *range, struct span text)
{
    struct span prefix = range->prefix;

    if (text.length < prefix.length || (range->is_exact && text.length != prefix.length))
        return false;
    return prefix.length == 0 || memcmp(text.data, prefix.data, prefix.length) == 0;
}

void walk_begin(struct walk *walk)
{
    walk->at.is_behind = walk->from.is_behind = walk->is_round = false;
}

void walk_begin_again(struct walk *walk)
{
    walk->from = walk->at;
    walk->is_round = false;
}

static struct name *find_next(const struct walk *walk, const struct walk_range *range, struct registry *registry)
{
    struct name *name = NULL;

    if (walk->at.is_behind)
        name = registry_after(registry, range->owner, (struct span){walk->at.text, walk->at.length});
    else if (range->prefix.length)
        name = registry_find(registry, range->owner, range->prefix);
    if (!name && !walk->at.is_behind)
        name = registry_after(registry, range->owner, range->prefix);
    return name && name->owner == range->owner && range_contains(range, name_text(name)) ? name : NULL;
}

struct name *walk_next(struct walk *walk, const struct walk_range *range, struct registry *registry)
{
    struct name *name = find_next(walk, range, registry);

    if (!name && !walk->is_round && walk->from.is_behind) {
        walk->is_round = true;
        walk->at.is_behind = false;
        name = find_next(walk, range, registry);
    }
    return name && walk->is_round && is_behind(name_text(name), &walk->from) ? NULL : name;
}

void walk_pass(struct walk *walk, const struct name *name)
{
    walk->at.is_behind = true;
    walk->at.length = name->length;
    memcpy(walk->at.text, name->text, name->length);
}

bool walk_has_passed(const struct walk *walk, struct span text)
{
    bool up_to_here = walk->at.is_behind && !is_behind(text, &walk->at);

    if (walk->is_round)
        return up_to_here || is_behind(text, &walk->from);
    return up_to_here && is_behind(text, &walk->from);
}
