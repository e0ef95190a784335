# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes of a schema a header with its text.
s/[\\"]/\\&/g
s/^/"/
s/$/\\n"/
1i\
static const char schema[] =
$a\
;
