# SPDX-License-Identifier: LGPL-2.1-or-later
# Makes a C string of a text, to be included where a string is expected.
s/[\\"]/\\&/g
s/^/"/
s/$/\\n"/
