# Functions for scripts that tests/run/throwaway started. Source it:  . "$TENANTMIG_ROOT/tests/run/lib.sh"
# shellcheck shell=bash
: "${TENANTMIG_ROOT:?start this script with tests/run/throwaway}" "${TENANTMIG_TMP:?}" "${TENANTMIG_DESTDIR:?}"

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

pg_major() { "$PG_CONFIG" --version | sed -nE 's/^PostgreSQL ([0-9]+).*/\1/p'; }

# The settings that let a server load the staged extension without a system-wide installation.
staged_settings() {
  local lib share
  lib=$("$PG_CONFIG" --pkglibdir)
  share=$("$PG_CONFIG" --sharedir)
  if [ "$(pg_major)" -ge 18 ]; then
    echo "extension_control_path = '$TENANTMIG_DESTDIR$share:\$system'"
  else
    echo "extension_destdir = '$TENANTMIG_DESTDIR'" # a setting of Debian's servers
  fi
  echo "dynamic_library_path = '$TENANTMIG_DESTDIR$lib:\$libdir'"
}

# server_start NAME [SETTING …]: a new server in $TENANTMIG_TMP/NAME, reached through a Unix socket only. Sets the PG*
# variables for whatever is called next. Settings are lines of postgresql.conf. INITDB_OPTIONS is added to initdb's.
server_start() {
  local name=$1 folder=$TENANTMIG_TMP/$1
  shift
  mkdir -p "$folder"
  if [ ! -d "$folder/data" ]; then
    # shellcheck disable=SC2086
    initdb -D "$folder/data" -U postgres -A trust -E UTF8 --no-locale -N ${INITDB_OPTIONS:-} >"$folder/initdb.log" 2>&1 ||
      die "initdb failed: $(tail -n 5 "$folder/initdb.log")"
    {
      echo "listen_addresses = ''"
      echo "unix_socket_directories = '$folder'"
      staged_settings
      printf '%s\n' "$@"
    } >>"$folder/data/postgresql.conf"
  fi
  pg_ctl -D "$folder/data" -l "$folder/log" -w -t 120 start >"$folder/pg_ctl.log" 2>&1 </dev/null ||
    die "the server \"$name\" did not start: $(tail -n 10 "$folder/log")"
  export PGHOST=$folder PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
}

# The settings of servers that run tests: safe to lose, so fast; and wide enough for workers.
test_settings=('fsync = off' 'max_connections = 50' 'max_worker_processes = 16' 'max_prepared_transactions = 4'
  'shared_buffers = 128MB' 'wal_level = logical' "log_line_prefix = '%m [%p] %q%a '" 'log_checkpoints = off')

server_stop() {
  pg_ctl -D "$TENANTMIG_TMP/$1/data" -m "${2:-fast}" -w stop >>"$TENANTMIG_TMP/$1/pg_ctl.log" 2>&1 || true
}

# A server that died of a signal says so in its log; suites that pass all the same must not hide it.
server_crashes() { grep -cE 'was terminated by signal|PANIC:|TRAP:' "$TENANTMIG_TMP/$1/log" || true; }

# A second staged installation, of the module with fault points and the helpers that set them. For servers that are to have them:
# TENANTMIG_DESTDIR=$(fault_destdir) server_start …
fault_destdir() {
  local folder=$TENANTMIG_TMP/dest-faults lib share
  if [ ! -d "$folder" ]; then
    lib=$("$PG_CONFIG" --pkglibdir) share=$("$PG_CONFIG" --sharedir)
    cp -a "$TENANTMIG_DESTDIR" "$folder" && cp "$TENANTMIG_ROOT/tests/faults/tenantmig.so" "$folder$lib/" &&
      cp "$TENANTMIG_ROOT"/tests/faults/tenantmig_fault* "$folder$share/extension/" || return 1
  fi
  echo "$folder"
}
