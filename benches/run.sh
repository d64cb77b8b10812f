#!/usr/bin/env bash
# make bench: builds once, measures, prints one table. Writes nothing but the build and a temporary directory.
#
#   benches/run.sh                 everything
#   benches/run.sh relay streams   sections: idle relay c64 (a part of relay) paced streams crowd large million
#                                 push peers list stats conversations retention ledger spool
#   benches/run.sh compare A B     builds of Steward beside each other, in short turns
#
# STEWARD_BENCH_ROWS (10,000,000) sets the longest list measured, STEWARD_BENCH_CONTENTS (1,000,000) the conversations
# searched, STEWARD_BENCH_SUBSCRIBERS (10,000) the crowd of push,
# TMPDIR the disk. STEWARD_BENCH_PEERS=1 installs LiteLLM (PyPI) and Portkey (npm) under build/peers, once, and measures
# them in the same run.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
export CARGO_TERM_PROGRESS_WHEN=never

echo "Building (release) ..." >&2
cargo build --release --locked --quiet --bin steward
cargo build --release --locked --quiet -p steward-benches

peers=build/peers
if [ -n "${STEWARD_BENCH_PEERS:-}" ]; then
    if [ ! -x $peers/litellm/bin/litellm ]; then
        echo "Installing LiteLLM ..." >&2
        python3 -m venv $peers/litellm
        $peers/litellm/bin/pip install --quiet 'litellm[proxy]'
    fi
    if [ ! -d $peers/portkey/node_modules/@portkey-ai/gateway ]; then
        echo "Installing Portkey ..." >&2
        mkdir -p $peers/portkey
        npm install --silent --no-audit --no-fund --prefix $peers/portkey @portkey-ai/gateway
    fi
    export STEWARD_BENCH_LITELLM=$PWD/$peers/litellm/bin/litellm
    export STEWARD_BENCH_PORTKEY=$PWD/$peers/portkey/node_modules/@portkey-ai/gateway/build/start-server.js
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
export TMPDIR=$scratch

wants() { [ ${#sections[@]} -eq 0 ] || [[ " ${sections[*]} " == *" $1 "* ]]; }
sections=("$@")

# With two processors the measured process has the first one to itself, load and provider the others.
pin=()
if [ "$(nproc)" -ge 2 ] && command -v taskset >/dev/null; then
    export STEWARD_BENCH_PINNED=1
    pin=(taskset -c "1-$(($(nproc) - 1))")
fi

echo "Measuring (a few minutes; an idle machine gives the best figures) ..." >&2
own=()
for section in "${sections[@]}"; do
    case $section in ledger | spool) ;; *) own+=("$section") ;; esac
done
if [ ${#sections[@]} -eq 0 ] || [ ${#own[@]} -gt 0 ]; then
    ${pin[@]+"${pin[@]}"} "$target/release/steward-bench" ${own[@]+"${own[@]}"}
fi
if wants ledger; then
    echo
    "$target/release/steward-bench-ledger" 40000
fi
if wants spool; then
    echo
    STEWARD_BENCH_RECORDS=200000 "$target/release/steward-bench-spool"
fi
