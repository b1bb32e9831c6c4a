# Commit: does what was planned. It asks nobody, every operation can be done twice, and what was done is written down: a
# client that was stopped anywhere goes on where it was.
#
# The parts share their variables.
# shellcheck disable=SC2034,SC2153,SC2154

STAGED=$STATE/staged

# commit: fails, with FAILURE set, when something could not be done; the list is not taken for applied then.
commit() {
  _skip=$(wc -l <"$STAGED/done")
  FAULTS=
  [ ! -s "$STAGED/faults" ] || FAULTS=$(head -n 1 "$STAGED/faults")
  while IFS=$TAB read -r operation mode uid gid temporary path <&3; do
    if [ "$_skip" -gt 0 ]; then
      _skip=$((_skip - 1))
      continue
    fi
    operate 2>"$STAGED/errors" || note_fault
    printf '%s\n' "$path" >>"$STAGED/done"
    step
  done 3<"$STAGED/plan"
  CHANGED=$(wc -l <"$STAGED/plan" | tr -d ' ')
  LIST=$(cat "$STAGED/list")
  remove_empty_folders
  if [ -z "$FAULTS" ]; then
    put_list || FAULTS="$LISTS/$LIST could not be written"
  fi
  keep_private
  step
  # Nothing changed, nothing to be told: a file that cannot be replaced must not reload a service again and again.
  if [ -z "$FAULTS" ] || [ "$CHANGED" -gt "$(wc -l <"$STAGED/faults")" ]; then
    [ ! -d "$STAGED/todo" ] || { rm -rf "$STATE/todo" && mv "$STAGED/todo" "$STATE/todo"; }
    step
  fi
  while IFS= read -r _temporary; do
    rm -f "$_temporary"
  done <"$STAGED/temporaries"
  # What is half deleted must not be taken for a plan.
  rm -rf "$STATE/finished" && mv "$STAGED" "$STATE/finished"
  step
  rm -rf "$STATE/finished" "$STATE/fetch" "$STATE/new" "$LISTS/new"
  [ -z "$FAULTS" ] || {
    FAILURE=$FAULTS
    return 1
  }
}

# note_fault: in one line, because the first of them is reported.
note_fault() {
  _fault="$path could not be changed: $(tr -s '\n' ' ' <"$STAGED/errors" | head -c 300)"
  say "$_fault"
  : "${FAULTS:=$_fault}"
  printf '%s\n' "$_fault" >>"$STAGED/faults"
}

# keep_private: whether the node has private files of the list.
keep_private() {
  if [ "$(cat "$STAGED/private" 2>/dev/null)" = yes ]; then
    keep "private.$LIST" yes
  elif [ -z "$FAULTS" ]; then
    rm -f "$STATE/private.$LIST"
  fi
}

# put_list: with one rename. It was put already when the client was stopped right after.
put_list() {
  if [ -e "$LISTS/new" ] && [ "$(sha256sum <"$LISTS/new" | cut -c 1-64)" = "$(cat "$STAGED/digest")" ]; then
    mv -f "$LISTS/new" "$LISTS/$LIST"
  else
    [ "$(list_digest "$LIST")" = "$(cat "$STAGED/digest")" ]
  fi
}

# operate: one line of the plan.
operate() {
  case $operation in
    mkdir) make_folder ;;
    place-f | place-l) put_in_place ;;
    attributes-l) chown -h "$uid:$gid" "$ROOT$path" ;;
    # Five digits: of fewer, GNU chmod leaves a folder its set-group-ID bit.
    attributes-?) chown "$uid:$gid" "$ROOT$path" && chmod "00$mode" "$ROOT$path" ;;
    remove)
      say "removing $path"
      remove_path "$path"
      ;;
    clear) clear_path ;;
    leave) leave ;;
  esac
}

make_folder() {
  if [ ! -d "$ROOT$path" ]; then
    mkdir -m "$mode" "$ROOT$path" && label "$ROOT$path" "$path" || return 1
  fi
  # As in attributes, a set-group-ID bit comes from the folder above. What is a link by now is not changed.
  chown -h "$uid:$gid" "$ROOT$path" || return 1
  [ -L "$ROOT$path" ] || chmod "00$mode" "$ROOT$path" || return 1
  label_in_place "$path"
  grep -Fxq "$path" "$LISTS/folders" 2>/dev/null || printf '%s\n' "$path" >>"$LISTS/folders"
}

# put_in_place: of a file that is not there any more the target was put in place before, or the plan is of no use.
put_in_place() {
  if exists "$temporary"; then
    _new=no
    exists "$ROOT$path" || _new=yes
    replace "$temporary" "$ROOT$path" && say "changed $path" || return 1
    [ "$_new" = no ] || label_in_place "$path"
  else
    exists "$ROOT$path" && is_kind "${operation#place-}" "$ROOT$path" && [ "$(content_digest "$ROOT$path")" = "$mode" ]
  fi
}

# replace TEMPORARY PATH: with one rename. mv would put the file into a folder, or into the one that a link points to.
replace() {
  [ ! -d "$2" ] || [ -L "$2" ] || return 1
  ! mv -fT "$1" "$2" 2>/dev/null || return 0
  [ ! -d "$2" ] || rm -f "$2"
  mv -f "$1" "$2"
}

clear_path() {
  if [ -d "$ROOT$path" ] && [ ! -L "$ROOT$path" ]; then
    find "$ROOT$path" -xdev -depth -type d -exec rmdir '{}' +
    [ ! -d "$ROOT$path" ]
  else
    rm -f "$ROOT$path"
  fi
}

# leave: the type and digest that it had, when somebody may have changed it since they were looked at.
leave() {
  if [ "$mode" != - ]; then
    exists "$ROOT$path" || return 0
    is_kind "$mode" "$ROOT$path" && [ "$(content_digest "$ROOT$path")" = "$uid" ] || return 0
  fi
  rm -f "$ROOT$path" && say "removed $path"
}

# remove_empty_folders: those that the client made, that no list speaks of and in which nothing is.
remove_empty_folders() {
  [ -s "$LISTS/folders" ] || return 0
  _list=$LISTS/new
  [ -e "$_list" ] || _list=$LISTS/$LIST
  for _other in system runtime; do
    [ "$_other" = "$LIST" ] || listed_paths d "$LISTS/$_other"
  done >"$STATE/spoken"
  listed_paths d "$_list" >>"$STATE/spoken"
  sort -r "$LISTS/folders" >"$STATE/folders"
  while IFS= read -r path; do
    ! grep -Fxq "$path" "$STATE/spoken" || continue
    ! rmdir "$ROOT$path" 2>/dev/null || say "removed $path"
  done <"$STATE/folders"
  while IFS= read -r path; do
    [ ! -d "$ROOT$path" ] || printf '%s\n' "$path"
  done <"$STATE/folders" >"$LISTS/folders.new" && mv -f "$LISTS/folders.new" "$LISTS/folders"
  rm -f "$STATE/spoken" "$STATE/folders"
}
