#!/usr/bin/env bash
# A throwaway PostgreSQL server for the tests: on a free loopback port, owned by an unprivileged user.
#
#   tests/postgres.sh start    DIR create and start a server, note it in DIR, print its URL (again: print the URL)
#   tests/postgres.sh url      DIR print the URL
#   tests/postgres.sh database DIR create an empty database there, print its URL
#   tests/postgres.sh pause    DIR shut the server down, keep its data and its port
#   tests/postgres.sh resume   DIR start it again
#   tests/postgres.sh stop     DIR shut it down and remove everything
#
# With STEWARD_POSTGRES_FSYNC=off it does not wait for the disk: what is killed are processes, and only a machine that goes
# down would lose something. Whoever measures leaves it on.
#
# STEWARD_POSTGRES_HOME names a folder with an installation somewhere in it, to use the newest there in place of the system's.
# It is copied to where the server's user may read it.
#
# The data lies in a directory of its own under ${TMPDIR:-/tmp}: a clone in a home directory that only root may enter
# must not keep the server, which refuses to run as root, from reaching its files.
set -euo pipefail

usage() { sed -n '2,/^$/{s/^# \{0,1\}//p}' "$0" | sed '/^With STEWARD/,$d' >&2; exit 2; }
fail() { echo "postgres.sh: $*" >&2; exit 1; }

# A Steward holds up to thirty; four tests run at once, some with two of them, beside connections that are just closing.
connections=400
fsync=${STEWARD_POSTGRES_FSYNC:-on}

[ $# -eq 2 ] || usage
command=$1
dir=$2

binaries() {
    local initdb newest=""
    if [ -d "$home/programs" ]; then
        initdb=$(find "$home/programs" -path '*/bin/initdb' | sort -V | tail -n 1)
        [ -n "$initdb" ] || fail "there is no PostgreSQL in $STEWARD_POSTGRES_HOME"
        dirname "$initdb"
        return
    fi
    for initdb in $(printf '%s\n' /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /opt/homebrew/opt/postgresql*/bin/initdb | sort -V); do
        [ -x "$initdb" ] && newest=$(dirname "$initdb")
    done
    [ -n "$newest" ] || { initdb=$(command -v initdb || true); [ -z "$initdb" ] || newest=$(dirname "$initdb"); }
    [ -n "$newest" ] || fail "PostgreSQL is not installed (Debian, Ubuntu: apt-get install postgresql)"
    echo "$newest"
}

# Runs a command as somebody the server agrees to run as.
as_server() {
    if [ "$(id -u)" -ne 0 ]; then "$@"; else (cd / && setpriv --reuid="$server_user" --regid="$(id -g "$server_user")" --clear-groups -- "$@"); fi
}

launch() {
    # Answers through pg_ctl's exit code: it waits until the server accepts connections.
    as_server "$bin/pg_ctl" --silent --wait --timeout=60 --pgdata="$home/data" --log="$home/log" start \
        --options="-c port=$1 -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=$connections -c fsync=$fsync -c full_page_writes=$fsync" >/dev/null
}

halt() {
    local pid
    pid=$(head -n 1 "$home/data/postmaster.pid" 2>/dev/null || true)
    [ -n "$pid" ] && kill -INT "$pid" 2>/dev/null || return 0
    for _ in $(seq 300); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -QUIT "$pid" 2>/dev/null || true
}

free_port() {
    local port
    for _ in $(seq 50); do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
    fail "found no free port"
}

home=
server_user=postgres
id -u "$server_user" >/dev/null 2>&1 || server_user=nobody
known() { [ -f "$dir/home" ] || fail "no server in $dir"; home=$(cat "$dir/home"); }

case $command in
start)
    if [ -f "$dir/url" ]; then
        known
        bin=$(binaries)
        as_server "$bin/pg_ctl" --pgdata="$home/data" status >/dev/null 2>&1 && { cat "$dir/url"; exit; }
        rm -rf "$home" "$dir/url" "$dir/home" "$dir/port"
    fi
    mkdir -p "$dir"
    home=$(mktemp -d "${TMPDIR:-/tmp}/steward-postgres.XXXXXX")
    echo "$home" >"$dir/home"
    [ -z "${STEWARD_POSTGRES_HOME:-}" ] || cp -R "$STEWARD_POSTGRES_HOME" "$home/programs"
    bin=$(binaries)
    password=$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')
    echo "$password" >"$home/password"
    [ "$(id -u)" -ne 0 ] || chown -R "$server_user" "$home"
    as_server "$bin/initdb" --pgdata="$home/data" --username=steward --pwfile="$home/password" \
        --auth=password --encoding=UTF8 --no-locale >"$home/initdb.log" 2>&1 || { cat "$home/initdb.log" >&2; fail "initdb failed"; }
    started=""
    for _ in 1 2 3 4 5; do
        port=$(free_port)
        if launch "$port"; then started=yes; break; fi
    done
    [ -n "$started" ] || { tail -n 20 "$home/log" >&2; fail "the server did not start"; }
    echo "$port" >"$dir/port"
    PGPASSWORD=$password "$bin/createdb" --host=127.0.0.1 --port="$port" --username=steward steward
    echo "postgres://steward:$password@127.0.0.1:$port/steward" | tee "$dir/url"
    ;;
url)
    known
    cat "$dir/url"
    ;;
database)
    known
    bin=$(binaries)
    url=$(cat "$dir/url")
    password=${url#*//steward:}
    name=empty_$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
    PGPASSWORD=${password%%@*} "$bin/createdb" --host=127.0.0.1 --port="$(cat "$dir/port")" --username=steward "$name"
    echo "${url%/*}/$name"
    ;;
pause)
    known
    halt
    ;;
resume)
    known
    bin=$(binaries)
    launch "$(cat "$dir/port")" || { tail -n 20 "$home/log" >&2; fail "the server did not start"; }
    ;;
stop)
    [ -f "$dir/home" ] || exit 0
    known
    halt
    rm -rf "$home"
    rm -f "$dir/home" "$dir/port" "$dir/url"
    rmdir "$dir" 2>/dev/null || true
    ;;
*) usage ;;
esac
