# Status: for people.
#
# The parts share their variables.
# shellcheck disable=SC2034,SC2153,SC2154

# show_status
show_status() {
  for _list in system runtime; do
    _digest=$(list_digest "$_list")
    printf '%-8s %s\n' "$_list" "${_digest:-not known}"
    [ -z "$_digest" ] || printf '         %s files and links, checked %s, changed %s\n' \
      "$(listed_paths fl "$LISTS/$_list" | wc -l)" "$(ago "checked.$_list")" "$(ago "changed.$_list")"
  done
  printf '%-8s %s\n' image "$(setting image) $(setting imageDigest)" kernel "$(uname -r)"
  printf '%-8s %s\n' ready "$(if [ -e "$STATE/ready" ]; then echo 'told'; else echo 'not told yet'; fi)"
  _failure=$(kept failure)
  printf '%-8s %s\n' failure "${_failure:-none}"
  if [ -d "$STAGED" ] || [ -d "$TODO" ]; then
    printf '%-8s %s\n' pending 'a change was begun and will be gone on with'
  fi
  printf '%-8s %s\n' next "$(next_run)"
}

# ago KEY: when that was, as people say it.
ago() {
  _then=$(kept "$1")
  case $_then in
    '' | *[!0-9]*) echo 'not since the boot' ;;
    *) echo "$(($(now) - _then)) s ago" ;;
  esac
}

next_run() {
  _pause=$(($(kept_number wait) - $(now)))
  if [ "$_pause" -gt 0 ]; then
    echo "every $(interval) s, but not within the next $_pause s"
  else
    echo "every $(interval) s"
  fi
}
