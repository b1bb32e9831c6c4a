# The serial console over the network.
# shellcheck disable=SC2154 # channel is of init.d/50-bmc, console_user and user of user.sh

# set_sol FIELD VALUE PARAMETER ARGUMENT
set_sol() {
  [ "$(field "$1" "$sol")" = "$2" ] || change "console: $3 to $4" sol set "$3" "$4" "$channel"
}

set_console() {
  _rate=$(wanted bitRate)
  if ! sol=$(ipmi sol info "$channel" 2>/dev/null) || [ -z "$sol" ]; then
    if [ -n "$_rate" ]; then
      fault 'the BMC says nothing of serial over LAN, so its bit rate cannot be set'
    fi
    return
  fi
  set_sol Enabled true enabled true
  set_sol 'Force Encryption' true force-encryption true
  set_sol 'Force Authentication' true force-authentication true
  set_sol 'Privilege Level' ADMINISTRATOR privilege-level admin
  if [ -n "$console_user" ]; then
    case $(ipmi sol payload status "$channel" "$console_user" 2>/dev/null) in
      *' is enabled'*) ;;
      *) change "that $user may use the console" sol payload enable "$channel" "$console_user" ;;
    esac
  fi
  [ -n "$_rate" ] || return
  set_sol 'Volatile Bit Rate (kbps)' "$_rate" volatile-bit-rate "$_rate"
  set_sol 'Non-Volatile Bit Rate (kbps)' "$_rate" non-volatile-bit-rate "$_rate"
}
