#!/bin/sh
# Installs what Inkstone needs and this machine lacks, without asking: a compiler, make, CMake, pkg-config and
# five libraries. Debian, Ubuntu, Fedora and macOS (Homebrew) are known.
#
# usage: install_dependencies.sh [--develop]    --develop: also the tools of the checks in .ci/run
set -eu

develop=false
[ "${1:-}" = --develop ] && develop=true

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        say "Installing $wanted needs root, and there is no sudo: run this as root."
        exit 1
    fi
}

# Runs a command quietly; if it fails, shows what it said.
quietly() {
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        rm -f "$log"
    else
        cat "$log" >&2
        rm -f "$log"
        say "This failed: $*"
        exit 1
    fi
}

# Sets `wanted` to those packages that `$1 package` does not find.
select_missing() {
    is_there=$1
    shift
    wanted=
    for package in "$@"; do
        $is_there "$package" || wanted="$wanted $package"
    done
    wanted=${wanted# }
}

debian_has() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
fedora_has() { rpm -q --whatprovides "$1" >/dev/null 2>&1; }
brew_has() { brew list --versions "$1" >/dev/null 2>&1; }

install_debian() {
    set -- gcc libc6-dev make cmake pkg-config \
        libjansson-dev libpng-dev libpcre2-dev libutf8proc-dev libcmocka-dev
    if $develop; then
        set -- "$@" g++ clang clang-format-14 clang-tidy-14 libclang-rt-14-dev shellcheck ninja-build git
    fi
    # pkgconf provides pkg-config.
    select_missing debian_has "$@"
    case " $wanted " in *" pkg-config "*)
        if command -v pkg-config >/dev/null 2>&1; then
            wanted=$(printf '%s' "$wanted" | sed 's/ *pkg-config//')
        fi ;;
    esac
    [ -z "$wanted" ] && return
    say "Installing: $wanted"
    quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y update
    # shellcheck disable=SC2086  # a list of words
    quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $wanted
}

install_fedora() {
    set -- gcc make cmake pkgconf-pkg-config \
        jansson-devel libpng-devel pcre2-devel utf8proc-devel libcmocka-devel
    if $develop; then
        set -- "$@" gcc-c++ clang clang-tools-extra compiler-rt libasan libubsan libtsan ShellCheck ninja-build git
    fi
    select_missing fedora_has "$@"
    [ -z "$wanted" ] && return
    say "Installing: $wanted"
    # shellcheck disable=SC2086
    quietly as_root dnf -q -y install $wanted
}

install_macos() {
    # Asks Apple for the compiler without a window; the label of the package changes with its version.
    if ! xcode-select -p >/dev/null 2>&1; then
        wanted="Apple's command line tools"
        say "Installing: $wanted"
        marker=/tmp/.com.apple.dt.CommandLineTools.installondemand.in-progress
        touch "$marker"
        label=$(softwareupdate --list 2>/dev/null | sed -n 's/^ *\* Label: \(Command Line Tools.*\)$/\1/p' | tail -n 1)
        [ -n "$label" ] && as_root softwareupdate --install "$label" >&2
        rm -f "$marker"
        if ! xcode-select -p >/dev/null 2>&1; then
            say "That did not work. Run 'xcode-select --install', then this again."
            exit 1
        fi
    fi
    for place in /opt/homebrew /usr/local; do
        if ! command -v brew >/dev/null 2>&1 && [ -x "$place/bin/brew" ]; then
            PATH=$place/bin:$PATH
        fi
    done
    if ! command -v brew >/dev/null 2>&1; then
        say "Installing: Homebrew"
        wanted=Homebrew
        NONINTERACTIVE=1 /bin/bash -c \
            "$(curl -fsSL https://raw.githubusercontent.com/Homebrew/install/HEAD/install.sh)" >&2
        for place in /opt/homebrew /usr/local; do
            [ -x "$place/bin/brew" ] && PATH=$place/bin:$PATH
        done
    fi
    set -- cmake pkgconf jansson libpng pcre2 utf8proc cmocka
    if $develop; then set -- "$@" llvm shellcheck ninja; fi
    select_missing brew_has "$@"
    [ -z "$wanted" ] && return
    say "Installing: $wanted"
    # shellcheck disable=SC2086
    HOMEBREW_NO_AUTO_UPDATE=1 quietly brew install -q $wanted
}

if [ "$(uname -s)" = Darwin ]; then
    install_macos
elif command -v apt-get >/dev/null 2>&1; then
    install_debian
elif command -v dnf >/dev/null 2>&1; then
    install_fedora
else
    say "This system is none of Debian, Ubuntu, Fedora and macOS. Inkstone needs: a C compiler, make, CMake 3.21,"
    say "pkg-config and the development files of jansson, libpng, PCRE2, utf8proc and cmocka."
    for tool in cc make cmake pkg-config; do
        command -v $tool >/dev/null 2>&1 || exit 1
    done
    say "The tools are there; going on."
fi
