# The user of the BMC, its password and its rights.
# shellcheck disable=SC2154 # channel is of init.d/50-bmc

PASSWORD_FILE=$MUSTER/bmc.password

# users: a line "ID PRIVILEGE ENABLED NAME" for each user of the channel; PRIVILEGE and ENABLED are one word each.
users() {
  ipmi channel getaccess "$channel" 2>/dev/null | awk '
    function print_user() { if (id != "") print id, privilege, enabled, name }
    { value = $0; sub(/^[^:]*: ?/, "", value); sub(/ +$/, "", value) }
    /^User ID/ { print_user(); id = value; name = ""; privilege = enabled = "-" }
    /^User Name/ { name = value == "(Empty User)" ? "" : value }
    /^IPMI Messaging/ { messaging = value }
    /^Privilege Level/ { privilege = messaging == "enabled" && value == "ADMINISTRATOR" ? value : "-" }
    /^Enable Status/ { enabled = value == "enabled" ? value : "-" }
    END { print_user() }'
}

# find_user NAME: its number, else the first above 1 (which is nobody's, IPMI 2.0 §6.9.2) that has no name. Others are left alone.
find_user() {
  _free=
  while read -r _id _privilege _enabled _name; do
    if [ "$_name" = "$1" ]; then
      id=$_id privilege=$_privilege enabled=$_enabled known=yes
      return 0
    fi
    [ -n "$_free" ] || [ -n "$_name" ] || [ "$_id" -lt 2 ] || _free=$_id
  done <<USERS
$list
USERS
  id=$_free privilege=- enabled=- known=
  [ -n "$id" ]
}

set_user() {
  # Who may use the console, once that is settled.
  console_user=
  user=$(wanted user)
  [ -n "$user" ] || return
  case $user in
    -* | *[!\ -~]*)
      fault 'bmc.user must be printable ASCII and not begin with -'
      return
      ;;
  esac
  if [ "${#user}" -gt 16 ]; then
    fault 'bmc.user is longer than the 16 characters that IPMI has for it'
    return
  fi
  read_password || return
  list=$(users)
  if [ -z "$list" ]; then
    fault "cannot read the users of channel $channel"
    return
  fi
  if ! find_user "$user"; then
    fault "there is no user $user, and no free place for one: delete one on the BMC"
    return
  fi
  if [ -z "$known" ]; then
    if [ -z "$password" ]; then
      fault "the BMC has no user $user, and bmc.password is not set: nobody is let in without one"
      return
    fi
    change "user $id to $user" user set name "$id" "$user" || return
  fi
  # The password before the rights.
  set_password "$id" "$known" || return
  [ "$privilege" = ADMINISTRATOR ] ||
    change "the rights of $user" channel setaccess "$channel" "$id" callin=on ipmi=on link=on privilege=4
  [ "$enabled" = enabled ] || change "that $user is enabled" user enable "$id"
  # shellcheck disable=SC2034 # console.sh reads it
  console_user=$id
}

# give_password TIMES: printf is part of the shell, so that no process has the password among its arguments.
give_password() {
  _times=$1
  while [ "$_times" -gt 0 ]; do
    printf '%s\n' "$password"
    _times=$((_times - 1))
  done
}

has_password() {
  give_password 1 | ipmi user test "$1" "$size" >/dev/null 2>&1
}

# read_password: fails when there should be one and is none. An empty file says that none is set for this node.
read_password() {
  if [ ! -e "$PASSWORD_FILE" ]; then
    fault 'the password did not come: private files were not given to this node, see the lines above'
    return 1
  fi
  password=
  IFS= read -r password <"$PASSWORD_FILE"
  size=16
  [ "${#password}" -le 16 ] || size=20
  if [ "${#password}" -gt 20 ]; then
    fault 'the password is longer than the 20 bytes that IPMI has for it'
    return 1
  fi
}

# set_password ID KNOWN: fails when the user has not got the password that it should have. A new one is given it in any case,
# because there are BMCs whose test takes every password.
set_password() {
  [ -n "$password" ] || return 0
  if [ -n "$2" ] && has_password "$1"; then
    return 0
  fi
  # It is asked for twice. What ipmitool says is not repeated, as it might quote what it was given.
  if give_password 2 | ipmi user set password "$1" >/dev/null 2>&1 && has_password "$1"; then
    say 'set the password'
  else
    fault "the BMC does not take the password for user $1: some want more letters, digits or signs"
    return 1
  fi
}
