#!/bin/sh
# Files appear whole or not at all, whatever happens.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# Places where nothing can be written: noticed before any work is done.
run 1 draw -p "a cat" -o missing/cat.png
says "cannot write missing/cat.png: the folder missing does not exist"
run 1 draw -p "a cat" -o files
says "it is a folder"
run 1 draw -p "a cat" -o files/
says "it is a folder"
run 1 draw -p "a cat" -o "$(printf 'missing\033[2J\n/cat.png')"
says 'missing\x1b[2J\n/cat.png'
for name in missing files; do
    if grep -q "seed:" err; then fail "$name: drawn for nothing"; fi
done
files_are ""

if [ "$(id -u)" -eq 0 ]; then
    echo "not tested: permissions do not bind root"
else
    chmod 555 files
    run 1 draw -p "a cat" -o files/cat.png
    says "no permission"
    chmod 755 files
    echo old >files/cat.png
    chmod 444 files/cat.png
    run 1 draw -p "a cat" -o files/cat.png
    says "no permission"
    grep -q old files/cat.png || fail "a file that may not be changed was replaced"
    rm -f files/cat.png
fi

# A full disk, and a limit on the size of files: the old file stays, no other is left behind.
if [ -c /dev/full ]; then
    run 1 draw -p "a cat" -o /dev/full
    says "the disk is full"
    draw -p "a cat" -o - >/dev/full 2>err
    [ $? -eq 1 ] || fail "a full disk went unnoticed"
    says "cannot write to standard output"
fi
echo old >files/cat.png
(
    ulimit -f 1
    draw -p "a cat" -o files/cat.png 2>err
)
[ $? -eq 1 ] || fail "status after a limit on the size of files"
says "ulimit -f"
files_are cat.png
grep -q old files/cat.png || fail "the old file is gone"

# Devices and links stay what they are.
run 0 draw -p "a cat" -o /dev/null
[ -c /dev/null ] || fail "/dev/null was replaced"
rm files/*
ln -s target.png files/link.png
run 0 draw -p "a cat" -o files/link.png
files_are link.png target.png
[ -h files/link.png ] || fail "the link was replaced"
is_png files/target.png 32x32
rm files/*

# A new file has the permissions of the umask.
(
    umask 027
    draw -p "a cat" -o files/cat.png 2>err
) || fail "umask"
[ "$(find files/cat.png -perm 640)" ] || fail "the permissions are not those of the umask"
rm files/*

# A reader that goes away.
{
    draw -p "a cat" -o - 2>err
    echo $? >status
} | :
[ "$(cat status)" -eq 1 ] || fail "a reader that is gone went unnoticed"
says "its reader is gone"

# Names that are as long as names can be.
long=$(printf '%0251d.png' 7)
run 0 draw -p "a cat" -o "files/$long"
files_are "$long"
rm files/*

# interrupted SIGNAL STATUS: a run that would take long, ended by a signal once it draws.
interrupted() {
    : >err
    (
        i=0
        while ! grep -q "step " err && [ $i -lt 600 ]; do
            sleep 0.1
            i=$((i + 1))
        done
        kill -s "$1" "$(cat pid)"
    ) &
    # In the foreground, for a shell makes its background jobs deaf to SIGINT.
    sh -c 'echo $$ >pid && exec "$@"' sh "$INKSTONE" generate -m "$tiny" --size 64x64 --steps 1000 -p "a cat" -b 2 \
        -o files/cat.png >out 2>err
    got=$?
    wait
    [ "$got" -eq "$2" ] || fail "status $got after SIG$1 instead of $2"
    says "interrupted"
    files_are ""
}
interrupted INT 130
interrupted TERM 143
