# Actions: what is to be done because files changed, each once, in order. One that is interrupted is done again: a service
# that was told twice is better than one that was never told.
#
# The parts share their variables.
# shellcheck disable=SC2034,SC2153,SC2154

TODO=$STATE/todo

run_actions() {
  [ -d "$TODO" ] || return 0
  for _todo in "$TODO"/*; do
    [ -e "$_todo" ] || continue
    run_action "$_todo"
    step
    rm -f "$_todo"
    step
  done
  rmdir "$TODO"
}

# run_action FILE: one that fails is said and reported, and not tried again.
run_action() {
  read -r _what _unit <"$1"
  case $_what in
    reload)
      ! runs_systemd || perform 'systemctl daemon-reload' systemctl daemon-reload
      ;;
    unit)
      if runs_systemd; then
        perform "systemctl try-reload-or-restart $_unit" systemctl try-reload-or-restart -- "$_unit"
      else
        say "$_unit is not reloaded: systemd does not run here"
      fi
      ;;
    argv)
      set --
      while IFS= read -r _argument; do
        set -- "$@" "${_argument#argv }"
      done <"$_todo"
      perform "$*" "$@"
      ;;
  esac
}

# perform NAME COMMAND…: within a minute, with nothing to read.
perform() {
  say "running $1"
  _name=$1
  shift
  bounded 60 "$@" </dev/null
  _status=$?
  case $_status in
    0) ;;
    124 | 143) fail_action "$_name did not end within 60 s" ;;
    *) fail_action "$_name ended with status $_status" ;;
  esac
}

fail_action() {
  say "failed: $1"
  ACTION_FAILURE=$1
}

runs_systemd() {
  [ -d "$ROOT/run/systemd/system" ]
}
