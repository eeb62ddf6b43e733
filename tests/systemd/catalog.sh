#!/bin/bash
# SPDX-License-Identifier: MIT
# Each MESSAGE_ID of the daemon's is explained in the journal's catalogue, once, and the catalogue has no others. TAP.

# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"
header=$top_srcdir/daemon/message_id.h
catalog=$top_srcdir/systemd/catalog/sealbufd.catalog.in

sed -n 's/^#define MESSAGE_ID_.*"\([0-9a-f]*\)"$/\1/p' "$header" | sort >"$work/defined"
sed -n 's/^-- \([0-9a-f]*\)$/\1/p' "$catalog" | sort >"$work/explained"
# 128 bits, of which some say that they are random.
well_formed() {
    [ -s "$work/defined" ] && ! grep -vE '^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$' "$work/defined"
}
check "the numbers are random UUIDs" well_formed
check "none is there twice" test -z "$(uniq -d "$work/defined")"
check "the catalogue explains these, each once" diff "$work/defined" "$work/explained"
in_manual() {
    sed -n 's/^\.It Li \([0-9a-f]*\)$/\1/p' "$top_srcdir/docs/sealbufd.8" | sort | diff "$work/defined" -
}
check "sealbufd(8) lists them" in_manual
complete() { # each entry has its headers and a text
    awk '/^-- / { if (id && (!subject || !by || !text)) print id; id = $2; subject = by = text = header = 0; header = 1
                  next }
         /^Subject: ./ { subject = 1; next } /^Defined-By: sealbufd$/ { by = 1; next } /^Documentation: / { next }
         /^$/ { header = 0; next } { text = 1 } END { if (!subject || !by || !text) print id }' "$catalog"
}
check "each entry has a subject and a text" test -z "$(complete)"
fields() { # fields that the texts use and log.c does not write
    grep -o '@[A-Z][A-Z_]*@' "$catalog" | tr -d @ | sort -u | while read -r field; do
        grep -q "\"$field\"" "$top_srcdir/daemon/log.c" || echo "$field"
    done
}
check "the fields that the texts use are written" test -z "$(fields)"
if command -v journalctl >/dev/null; then
    mkdir -p "$work/usr/lib/systemd/catalog" "$work/var/lib/systemd/catalog"
    cp "$catalog" "$work/usr/lib/systemd/catalog/sealbufd.catalog"
    check "journalctl reads it" journalctl --root="$work" --update-catalog
else
    skip "journalctl reads it" "journalctl is missing"
fi
done_testing
