#!/usr/bin/env bash
# make test, make check and make soak: sets up what the tests need, runs them, stops what it started.
#
#   tests/everything.sh         everything
#   tests/everything.sh quick   style, lints and the tests that need no PostgreSQL and no browser
#   tests/everything.sh soak    kill -9 and lost databases, long
#
# One cargo profile for the tests and for the binary they start, so that nothing is built twice. For the same reason every
# step embeds the console or none does: CONSOLE_SKIP_WEB, which only the quick run honours, would build Steward anew each
# time it changes. And Clippy, which is the compiler with more lints, builds what it looks at: a `cargo clippy` of its own
# would read every dependency and all of ours once more (four minutes of a first run).
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-all}
build=$PWD/build
target=${CARGO_TARGET_DIR:-target}
[ -t 1 ] || export CARGO_TERM_COLOR=never
export CARGO_TERM_PROGRESS_WHEN=never
# A first build gains nothing by notes for the next one, and making them costs time and disk.
[ -e "$target/debug" ] || export CARGO_INCREMENTAL=0
# A failed test says what it saw; forty frames of the runtime below it only push that out of sight. So nobody asks for the
# lines they were on either.
export RUST_BACKTRACE=0 CARGO_PROFILE_DEV_DEBUG=0
clippy=$(command -v clippy-driver || echo "$(rustc --print sysroot)/bin/clippy-driver")
[ -x "$clippy" ] || { echo "The tests need Clippy: rustup component add clippy" >&2; exit 1; }
export RUSTC_WORKSPACE_WRAPPER=$clippy CLIPPY_ARGS=-Dwarnings

# --- what the tests need ---------------------------------------------------------------------------------------------

has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || compgen -G '/usr/pgsql-*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }
has_venv() { command -v python3 >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null; }
has_node() { command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null; }
has_chromium() { [ -x "${STEWARD_CHROMIUM:-/usr/bin/chromium-headless-shell}" ] || [ -x /usr/bin/chromium ]; }
# What Debian calls it: the engine alone where it is offered, since a visit in a whole browser costs twice as much.
chromium_package() { apt-cache show chromium-headless-shell >/dev/null 2>&1 && echo chromium-headless-shell || echo chromium; }
has_font() { command -v fc-list >/dev/null && [ -n "$(fc-list "$1" family)" ]; }

install_what_is_missing() {
    local missing=()
    has_postgres || missing+=(postgresql)
    has_venv || missing+=(python3 python3-venv)
    has_node || missing+=(nodejs npm)
    has_chromium || missing+=(chromium)
    has_font 'Noto Sans CJK SC' || missing+=(fontconfig fonts-noto-cjk)
    has_font 'Noto Color Emoji' || missing+=(fontconfig fonts-noto-color-emoji)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "The tests need ${missing[*]} (Debian's names). Install them, or run this as root on Debian or Ubuntu, and try again." >&2
        exit 1
    fi
    echo "Installing ${missing[*]}"
    # Debian would start a server of its own on the default port.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        mkdir -p /etc/postgresql-common
        echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    has_chromium || missing=("${missing[@]/#chromium/$(chromium_package)}")
    apt-get -qq install -y --no-install-recommends -o Dpkg::Options::=--force-confold "${missing[@]}" >/dev/null
    has_node || { echo "The tests need Node 20 or newer (https://nodejs.org); this system offers $(node --version 2>/dev/null || echo none)." >&2; exit 1; }
}

# python_environment NAME REQUIREMENTS [pip's arguments]: made again when the file changes.
python_environment() {
    local home=$build/$1 requirements=$2
    shift 2
    cmp -s "$requirements" "$home/made-from" && return
    rm -rf "$home" && python3 -m venv "$home" &&
        "$home/bin/pip" install --quiet --disable-pip-version-check "$@" -r "$requirements" &&
        cp "$requirements" "$home/made-from"
}

# node_packages FOLDER: what its lockfile says; made again when that changes. `build.rs` keeps the same mark in `static`.
node_packages() {
    cmp -s "$1/package-lock.json" "$1/node_modules/.made-from" && return
    npm ci --prefix "$1" --include=dev --no-audit --no-fund --loglevel=error &&
        cp "$1/package-lock.json" "$1/node_modules/.made-from"
}

# --- steps -----------------------------------------------------------------------------------------------------------

mkdir -p "$build"
# A line for each step that ended, also of those that ran in a lane.
results=$build/results failures=$build/failures said_by=$build/said
mkdir -p "$said_by"
: >"$results"
: >"$failures"
# Runs a step and goes on whatever comes of it; the end tells, and repeats the last that a failed one said: of a long run
# often only the end is kept.
step() {
    local name=$1 began=$SECONDS said
    said=$said_by/${name//[^a-z]/_}
    shift
    echo
    echo "=== $name"
    if "$@" 2>&1 | tee "$said"; then
        echo "passed  $name ($((SECONDS - began)) s)" >>"$results"
    else
        echo "FAILED  $name ($((SECONDS - began)) s)" >>"$results"
        { echo; echo "=== The end of what \"$name\" said"; tail -n 40 "$said"; } >>"$failures"
    fi
}
# A step without which the others say nothing.
must() {
    step "$@"
    ! grep -qF "FAILED  $1 (" "$results" || finish
}
finish() {
    echo
    echo "=== In $((SECONDS / 60)) min $((SECONDS % 60)) s"
    grep '^passed' "$results" || true
    cat "$failures"
    ! grep '^FAILED' "$results" || exit 1
    echo "All passed."
    exit 0
}

# Most tests wait more than they compute. A lane is a function of steps that runs while this script goes on, in a process
# group of its own, so that it can be stopped with all it started; what it says comes when `lanes_end` has waited for it.
lanes=()
lane() {
    set -m
    "$1" >"$build/$1.log" 2>&1 </dev/null &
    set +m
    lanes+=("$!:$1")
}
lanes_end() {
    local lane
    for lane in "${lanes[@]}"; do
        wait "${lane%%:*}" || echo "FAILED  ${lane#*:} ended early" >>"$results"
        cat "$build/${lane#*:}.log"
    done
    lanes=()
}

# rust_tests FILTER [cargo arguments]: FILTER is all, without_postgres, it_once_more or chaos. The chaos of the binary
# `it` wants the machine for itself and has a step of its own; that of the actors runs with all.
rust_tests() {
    local filter=$1
    if cargo nextest --version >/dev/null 2>&1; then
        case $filter in
        all) cargo nextest run --locked --workspace --no-fail-fast --test-threads=3 -E 'not (binary(it) and test(/^chaos::/))' ;;
        without_postgres) cargo nextest run --locked --workspace --no-fail-fast -E 'not test(/postgres/) and not (binary(it) and test(/^chaos::/))' ;;
        it_once_more) cargo nextest run --locked --test it --no-fail-fast --test-threads=4 -E 'not test(/^chaos::/)' ;;
        chaos) cargo nextest run --locked --test it --no-fail-fast --test-threads=1 --no-capture -E 'test(/^chaos::/)' ;;
        esac
    else
        case $filter in
        all) cargo test --locked --workspace --exclude steward --no-fail-fast && cargo test --locked --no-fail-fast -- --skip chaos:: ;;
        without_postgres) cargo test --locked --workspace --exclude steward --no-fail-fast -- --skip postgres && cargo test --locked --no-fail-fast -- --skip chaos:: --skip postgres ;;
        it_once_more) cargo test --locked --test it -- --skip chaos:: ;;
        chaos) cargo test --locked --test it -- --test-threads=1 --nocapture chaos:: ;;
        esac
    fi
}
documentation_tests() { cargo test --quiet --locked --workspace --doc; }

started=()
stop_servers() {
    local directory lane
    for lane in "${lanes[@]}"; do kill -TERM -- "-${lane%%:*}" 2>/dev/null || true; done
    for directory in "${started[@]}"; do tests/postgres.sh stop "$directory" || true; done
}
trap stop_servers EXIT
trap 'exit 130' INT TERM

start_postgres() {
    local directory=$build/postgres
    started+=("$directory")
    STEWARD_TEST_POSTGRES_URL=$(STEWARD_POSTGRES_FSYNC=off tests/postgres.sh start "$directory")
    export STEWARD_TEST_POSTGRES_URL
}
# The system's PostgreSQL seldom comes with pgvector; one that does comes as a Python package.
start_pgvector() {
    local directory=$build/pgvector
    started+=("$directory")
    STEWARD_TEST_PGVECTOR_URL=$(STEWARD_POSTGRES_HOME=$build/venv-pgvector/lib STEWARD_POSTGRES_FSYNC=off tests/postgres.sh start "$directory")
    export STEWARD_TEST_PGVECTOR_URL
}

it_on_postgres() { STEWARD_IT_DATABASE=postgres rust_tests it_once_more; }
sdk_conformance() {
    python3 tests/sdk/compare.py --steward "$target/debug/steward" --provider "$target/debug/examples/fake_provider" \
        --python "$build/venv/bin/python" --python "$build/venv-previous/bin/python" --node tests/sdk/node
}
notices_received() {
    "$build/venv/bin/python" tests/notices/receivers.py --steward "$target/debug/steward" --provider "$target/debug/examples/fake_provider"
}
notices_outlive_kills() {
    local kills=("$build/venv/bin/python" tests/notices/kills.py --steward "$target/debug/steward" --provider "$target/debug/examples/fake_provider")
    "${kills[@]}" && "${kills[@]}" --database-url "$(tests/postgres.sh database "$build/postgres")"
}
knowledge_found() {
    "$build/venv-knowledge/bin/python" tests/knowledge/paraphrase.py --steward "$target/debug/steward" --provider "$target/debug/examples/fake_provider" \
        --pgvector "$(tests/postgres.sh database "$build/pgvector")"
}
openapi_fuzzing() {
    "$build/venv/bin/python" tests/openapi/fuzz.py --steward "$target/debug/steward" --provider "$target/debug/examples/fake_provider"
}
environments() {
    python_environment venv tests/sdk/requirements.txt && python_environment venv-previous tests/sdk/requirements-previous.txt &&
        python_environment venv-pgvector tests/pgvector-requirements.txt &&
        python_environment venv-knowledge tests/knowledge/requirements.txt --no-deps &&
        node_packages tests/sdk/node && node_packages tests/e2e && node_packages static
}
# Types against the committed API document, lints, format.
web_check() { npm run --silent --prefix static check; }
web_tests() { npm test --silent --prefix static; }
# The size of what the tested binary embeds: shell, pages, charts.
web_budget() {
    local built
    built=$(find "$target/debug/build" -path '*/out/console/.vite/manifest.json' -printf '%T@ %h\n' | sort -rn | head -n 1 | cut -d' ' -f2)
    [ -n "$built" ] || { echo "No built console was found below $target/debug/build." >&2; return 1; }
    STEWARD_WEB_OUT=$(realpath "$(dirname "$built")") npm run --silent --prefix static budget
}
# That static/openapi.json is what the handlers say is a Rust test; that the types are what it says, a part of the web check.
generated_files() {
    "$target/debug/steward" openapi | cmp -s - static/openapi.json ||
        { echo "static/openapi.json is older than the handlers: run \`make openapi\` and commit what it changes." >&2; return 1; }
}
browser_tests() { npm test --silent --prefix tests/e2e; }
build_tested_binaries() { cargo build --quiet --locked --bin steward --example fake_provider; }
build_tests() { cargo build --quiet --locked --workspace --all-targets; }

# What needs no cargo: the console by itself, then what asks a running Steward from outside, one after the other.
outside_lane() {
    step "console: types, lints, format" web_check
    step "console: unit tests" web_tests
    step "the console in a browser" browser_tests
    step "SDK conformance" sdk_conformance
    step "notices at real receivers" notices_received
    step "notices and kill -9" notices_outlive_kills
    step "knowledge by a real embedding model" knowledge_found
    step "OpenAPI fuzzing" openapi_fuzzing
}

case $mode in
all)
    unset CONSOLE_SKIP_WEB
    install_what_is_missing
    must "Python and Node packages" environments
    must "cargo fmt" cargo fmt --all --check
    must "build and lints" build_tested_binaries
    step "generated files" generated_files
    step "build.rs" tests/build_script.sh
    step "console: size budget" web_budget
    start_postgres
    start_pgvector
    lane outside_lane
    must "build and lints of the tests" build_tests
    step "Rust tests" rust_tests all
    step "documentation tests" documentation_tests
    step "integration tests on PostgreSQL" it_on_postgres
    lanes_end
    # The machine to itself: it counts what happens within seconds.
    step "kill -9 and lost databases" rust_tests chaos
    ;;
quick)
    must "cargo fmt" cargo fmt --all --check
    must "build and lints" build_tests
    step "build.rs" tests/build_script.sh
    step "Rust tests" rust_tests without_postgres
    step "documentation tests" documentation_tests
    if [ -z "${CONSOLE_SKIP_WEB:-}" ]; then
        must "Node packages" node_packages static
        step "console: types, lints, format" web_check
        step "console: unit tests" web_tests
    fi
    ;;
soak)
    install_what_is_missing
    export STEWARD_CHAOS_KILLS=${STEWARD_CHAOS_KILLS:-50} STEWARD_CHAOS_OUTAGE_S=${STEWARD_CHAOS_OUTAGE_S:-60}
    step "kill -9 and lost databases, $STEWARD_CHAOS_KILLS kills, $STEWARD_CHAOS_OUTAGE_S s" rust_tests chaos
    ;;
*)
    echo "tests/everything.sh [quick|soak]" >&2
    exit 2
    ;;
esac
finish
