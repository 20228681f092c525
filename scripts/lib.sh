# lib.sh: what scripts/demo and scripts/test share: packages, builds, a private PostgreSQL. Sourced by bash.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
pg_major=15

say() { printf '\n== %s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "this step needs root rights, and there is no sudo: $*"
    fi
}

# Debian packages that building needs, and what each is for; the test script adds its own.
build_packages="gcc libc6-dev make cmake uuid-dev libutf8proc-dev libjansson-dev zlib1g-dev libopenblas-serial-dev
    libsqlite3-dev sqlite3 postgresql-$pg_major postgresql-server-dev-$pg_major python3 python3-pip"

need_packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    say "installing Debian packages: ${missing[*]}"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# build PRESET: configures once, builds what changed.
build() {
    local preset=$1
    shift
    say "building (CMake preset $preset)"
    cmake -S "$root" --preset "$preset" "$@" >"$root/build/$preset.log" 2>&1 || { cat "$root/build/$preset.log"; return 1; }
    cmake --build "$root/build/$preset" -j "$(nproc)" 2>&1 | grep -E '(warning|error):|\*\*\*' || true
    cmake --build "$root/build/$preset" >/dev/null
}

# ---- A PostgreSQL of our own -----------------------------------------------------------------------------------------
# The server's trees are copied into a folder of ours, since PostgreSQL finds its libraries and extensions relative to
# its executable: CREATE EXTENSION works without writing to a system folder. It runs as an unprivileged user.

pg_bin=/usr/lib/postgresql/$pg_major/bin

# Runs a command as the user who owns the server: ourselves, or postgres when we are root.
as_server() {
    if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

# pg_tree FOLDER [BUILD]: the server's files and our extension below FOLDER.
pg_tree() {
    local tree=$1 build=${2:-$root/build/release}
    if [ ! -x "$tree$pg_bin/postgres" ]; then
        mkdir -p "$tree/usr/lib/postgresql" "$tree/usr/share/postgresql"
        cp -a "/usr/lib/postgresql/$pg_major" "$tree/usr/lib/postgresql/"
        cp -aL "/usr/share/postgresql/$pg_major" "$tree/usr/share/postgresql/"
    fi
    DESTDIR=$tree cmake --install "$build" --component postgresql >/dev/null
}

# pg_start TREE DATA SOCKET_FOLDER [setting=value ...]: makes the cluster if there is none and starts it if it does not run.
pg_start() {
    local tree=$1 data=$2 socket=$3
    shift 3
    if [ ! -f "$data/PG_VERSION" ]; then
        mkdir -p "$data" "$socket"
        chmod 700 "$data"
        [ "$(id -u)" != 0 ] || chown postgres: "$data" "$socket"
        as_server "$tree$pg_bin/initdb" -D "$data" -A trust -U postgres -E UTF8 --locale=C.UTF-8 >"$socket/initdb.log"
        {
            echo "listen_addresses = ''"
            echo "unix_socket_directories = '$socket'"
            for setting in "$@"; do echo "${setting%%=*} = '${setting#*=}'"; done
        } | as_server tee -a "$data/postgresql.conf" >/dev/null
    fi
    as_server "$tree$pg_bin/pg_ctl" -D "$data" status >/dev/null 2>&1 ||
        as_server "$tree$pg_bin/pg_ctl" -D "$data" -l "$socket/server.log" -w start >/dev/null ||
        { tail -20 "$socket/server.log"; return 1; }
}

pg_stop() { as_server "$1$pg_bin/pg_ctl" -D "$2" -m fast stop >/dev/null 2>&1 || true; }
