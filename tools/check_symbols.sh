#!/bin/sh
# Checks what a library may not contain, by its symbols: variables that change, calls that print, end the
# process, read the environment or keep hidden state, and names that do not begin with ink_. Of C++ the names in
# the namespace ink are ours; what it shares between files (weak symbols, addresses of its types) is no finding.
#
# usage: check_symbols.sh [--asserts] LIBRARY...
#   LIBRARY     libinkstone.a or libinkstone.so
#   --asserts   assert() is allowed (builds other than Release)
set -eu

asserts=false
if [ "$1" = --asserts ]; then
    asserts=true
    shift
fi

forbidden='exit|_exit|_Exit|quick_exit|abort|atexit|on_exit|raise|signal|sigaction|system|popen|fork'
forbidden="$forbidden|v?f?printf|v?dprintf|puts|fputs|putchar|putc|fputc|perror|psignal|std(in|out|err)|syslog"
forbidden="$forbidden|__v?f?printf_chk|__v?dprintf_chk|v?(err|warn)x?|error"
forbidden="$forbidden|(secure_)?getenv|setenv|putenv|unsetenv|environ|__environ"
forbidden="$forbidden|s?rand|s?random|drand48|strtok|strerror|localtime|gmtime|asctime|ctime|setlocale"
$asserts || forbidden="$forbidden|__assert_fail|__assert_rtn"

status=0
for library in "$@"; do
    # A shared library also holds variables of the compiler's start-up code; its archive shows what is ours.
    case $library in *.so*) scope=-D shared=1 ;; *) scope='' shared=0 ;; esac
    findings=$(
        # name|value|class|type|size|line|section
        nm --format=sysv "$library" 2>/dev/null | awk -F '|' -v forbidden="^($forbidden)(@.*)?\$" -v shared=$shared '
            NF < 7 { next }
            { for (i = 1; i <= NF; i++) gsub(/^[ \t]+|[ \t]+$/, "", $i) }
            { seen++ }
            $7 == "*UND*" && $1 ~ forbidden { print "uses " $1 }
            !shared && $7 ~ /^(\*COM\*|\.s?bss|\.tbss|\.tdata|\.s?data)(\.|$)/ && $7 !~ /^\.data\.rel\.ro/ &&
                $4 ~ /OBJECT|TLS|COMMON/ && $1 !~ /^DW\.ref\./ { print "has the variable " $1 " in " $7 }
            END { if (!seen) print "holds no symbols that nm can read" }'
        # shellcheck disable=SC2086  # empty or one option
        nm $scope -g --defined-only "$library" 2>/dev/null |
            awk 'NF == 3 && $3 !~ /^ink_/ && $3 !~ /^_Z(T[VISZ])?N?K?3ink/ &&
                    !($2 ~ /[WVu]/ && $3 ~ /^(_Z|DW\.ref\.)/) { print "exports " $3 ", which does not begin with ink_" }'
    )
    if [ -n "$findings" ]; then
        printf '%s\n' "$findings" | sort -u | sed "s|^|$library |" >&2
        status=1
    fi
done
[ $status -eq 0 ] && echo "check_symbols: nothing found in $*"
exit $status
