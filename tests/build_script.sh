#!/usr/bin/env bash
# `build.rs` by itself: a program of the standard library alone, compiled and run in a scratch folder beside a `node` and
# an `npm` that only write down that they were called. What it says is what cargo shows.
set -euo pipefail
unset CONSOLE_SKIP_WEB NODE_IS
repository=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
rustc --edition 2024 --crate-name build_script -o "$scratch/build_script" "$repository/build.rs"

mkdir -p "$scratch/bin" "$scratch/house/static/src" "$scratch/house/static/public" "$scratch/house/src/console"
cp "$repository/src/console/placeholder.html" "$scratch/house/src/console/"
cd "$scratch/house"
for file in index.html package.json package-lock.json vite.config.ts tsconfig.json tsconfig.app.json tsconfig.node.json src/main.ts src/main.test.ts; do
    echo "$file" >"static/$file"
done
cat >"$scratch/bin/npm" <<'NPM'
#!/bin/sh
[ "$1" = --version ] && exec echo 11.0.0
echo "$1" >>"$CALLS"
case $1 in
ci) mkdir -p node_modules ;;
run)
    if [ -n "$WRONG" ]; then
        echo "$WRONG" >&2
        exit 2
    fi
    mkdir -p "$STEWARD_WEB_OUT" && echo console >"$STEWARD_WEB_OUT/index.html"
    ;;
esac
NPM
printf '#!/bin/sh\necho "${NODE_IS:-v22.1.0}"\n' >"$scratch/bin/node"
chmod +x "$scratch/bin/"*
export CALLS="$scratch/calls" OUT_DIR="$scratch/out" WRONG=
mkdir "$OUT_DIR"

# build [VARIABLE=value]…: leaves what it says in $said, how it ends in $code and what npm was asked for in $asked.
build() {
    : >"$CALLS"
    code=0
    said=$(env PATH="$scratch/bin:/usr/bin:/bin" "$@" "$scratch/build_script" 2>&1) || code=$?
    asked=$(paste -sd ' ' "$CALLS")
}
expect() {
    local what=$1 wanted=$2 found=$3
    case $found in
    $wanted) ;;
    *)
        printf '%s: expected %s, found %s\nIt said:\n%s\n' "$what" "$wanted" "$found" "$said" >&2
        exit 1
        ;;
    esac
}

build CONSOLE_SKIP_WEB=1
expect "without the console" "0 and ''" "$code and '$asked'"
expect "its placeholder" "*without its console*" "$(cat "$OUT_DIR/console/index.html")"

# A Node that is missing would be the machine's own unless nothing else is on the path.
build PATH="$scratch"
expect "without Node" "*cargo::error=*Node 20 or newer, and no Node was found*nodejs.org*CONSOLE_SKIP_WEB=1*" "$said"
expect "one sentence, not under the script's whole output" "0 and ''" "$code and '$asked'"
build NODE_IS=v18.19.0
expect "with an old Node" "*cargo::error=*this is v18.19.0*" "$said"

build
expect "the first build" "0 and 'ci run'" "$code and '$asked'"
expect "the console" "console" "$(cat "$OUT_DIR/console/index.html")"
build
expect "nothing new" "0 and ''" "$code and '$asked'"
echo more >>static/src/main.test.ts
build
expect "another test" "0 and ''" "$code and '$asked'"
echo more >>static/src/main.ts
build
expect "another source" "0 and 'run'" "$code and '$asked'"
echo more >>static/package-lock.json
build
expect "another lockfile" "0 and 'ci run'" "$code and '$asked'"

echo more >>static/src/main.ts
build WRONG="src/main.ts(1,7): error TS2322: Type 'string' is not assignable to type 'number'."
expect "what npm said" "*src/main.ts(1,7): error TS2322*cargo::error=*npm run build* failed*" "$said"
expect "a failure, with all that was said" 1 "$code"
expect "no word of a Node that is there" "" "$(grep -i 'nodejs.org' <<<"$said" || true)"
build
expect "once it is right again" "0 and 'run'" "$code and '$asked'"
