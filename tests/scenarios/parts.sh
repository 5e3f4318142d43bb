# Functions for scenarios: each part of a scenario writes what it shows, and that is compared with the part of the same name in
# expected.out. Source it in the scenario's folder, with `actual` set to the file that gets the whole output.
# shellcheck shell=bash
: "${TENANTMIG_TMP:?start this script with tests/run/throwaway}" "${actual:?}"
work=$actual.parts
mkdir -p "$work"
: >"$actual"
failures=0

# Times, lengths of time, hashes and the temporary folder are not the same twice.
mask() {
  sed -E -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:.]+( ?(UTC|Z)|[+-][0-9:]{2,6})?/TIME/g' -e 's/\b[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?\b/TIME/g' \
    -e 's/[0-9a-f]{64}/HASH/g' \
    -e 's/((enforced|relaxed),TIME),[0-9.]+,/\1,MILLISECONDS,/' \
    -e 's/\b[0-9]+(\.[0-9]+)? ?(ms|s|seconds?)\b/SECONDS/g' -e 's/( days?) SECONDS/\1/g' -e "s#$TENANTMIG_TMP[^ \"]*/#FOLDER/#g" -e 's/ +$//'
}

# part NAME, then commands that show something, then compare.
part() { name=$1; : >"$work/part"; }
note() { "$@" 2>&1 | mask >>"$work/part"; }
sql() { note psql -Xq -P footer=off -c "$1"; }
client() {
  local status=0
  { printf '$ tenantmig %s\n' "$*"; tenantmig "$@" 2>&1 || status=$?; printf '[status %s]\n' "$status"; } >"$work/said"
  note cat "$work/said"
}
compare() {
  { printf '== %s\n' "$name"; cat "$work/part"; } >>"$actual"
  awk -v wanted="== $name" '/^== / {inside = ($0 == wanted); next} inside' expected.out >"$work/wanted" 2>/dev/null
  if diff -u --label "expected.out: $name" --label actual "$work/wanted" "$work/part" >"$work/diff"; then
    say "ok $name"
  else
    say "not ok $name"
    sed 's/^/    /' "$work/diff" | head -n 60
    failures=$((failures + 1))
  fi
}
