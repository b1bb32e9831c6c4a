#!/bin/sh
# A BMC for the tests of the bmc overlay: answers as ipmitool 1.8.19 does (compared with it and OpenIPMI's ipmi_sim), from
# files in $BMC_STATE, and notes in $BMC_STATE/argv what it was called with. Whatever is not known here is a mistake of the
# caller, noted and refused.

state() {
  cat "$BMC_STATE/$1"
}

put() {
  printf '%s\n' "$2" >"$BMC_STATE/$1"
}

printf '%s\n' "$*" >>"$BMC_STATE/argv"
[ ! -e "$BMC_STATE/hangs" ] || exec sleep 60
[ "$1 $2" = '-I open' ] || {
  echo "unexpected: $*" >>"$BMC_STATE/unexpected"
  exit 1
}
shift 2
case $* in
  'channel info 1')
    echo 'Channel 0x1 info:'
    echo "  Channel Medium Type   : $(state medium1)"
    echo '  Channel Protocol Type : IPMB-1.0'
    echo '  Volatile(active) Settings'
    echo "    Access Mode         : $(state access)"
    echo '  Non-Volatile Settings'
    echo "    Access Mode         : $(state access)"
    ;;
  'channel info 2')
    echo 'Channel 0x2 info:'
    echo "  Channel Medium Type   : $(state medium2)"
    echo '  Volatile(active) Settings'
    echo "    Access Mode         : $(state access)"
    ;;
  'channel info '*)
    echo 'Unable to Get Channel Info' >&2
    exit 1
    ;;
  'lan print '[12])
    echo 'Set in Progress         : Set Complete'
    echo "IP Address Source       : $(state source)"
    echo "IP Address              : $(state address)"
    echo "Subnet Mask             : $(state netmask)"
    echo 'MAC Address             : 52:54:00:aa:bb:cc'
    echo 'SNMP Community String   : public'
    echo "Default Gateway IP      : $(state gateway)"
    echo '802.1q VLAN ID          : '"$(state vlan)"
    ;;
  'lan set '[12]' ipsrc static') put source 'Static Address' ;;
  'lan set '[12]' ipaddr '*)
    if [ "$(state source)" != 'Static Address' ]; then
      echo 'LAN Parameter Data does not match!  Write may have failed.' >&2
      exit 1
    fi
    [ -e "$BMC_STATE/forgets" ] || put address "$5"
    ;;
  'lan set '[12]' netmask '*) put netmask "$5" ;;
  'lan set '[12]' defgw ipaddr '*) put gateway "$6" ;;
  'lan set '[12]' vlan id '*) put vlan "$6" ;;
  'lan set '[12]' access on') put access 'always available' ;;
  'channel getaccess '[12])
    echo 'Maximum User IDs     : 4'
    echo 'Enabled User IDs     : 1'
    for id in 1 2 3 4; do
      echo
      echo "User ID              : $id"
      echo "User Name            : $(state "user$id.name")"
      echo 'Fixed Name           : No'
      echo 'Access Available     : call-in / callback'
      echo 'Link Authentication  : enabled'
      echo "IPMI Messaging       : $(state "user$id.messaging")"
      echo "Privilege Level      : $(state "user$id.privilege")"
      echo "Enable Status        : $(state "user$id.enabled")"
    done
    ;;
  'user set name '[1-4]' '*)
    id=$4
    shift 4
    put "user$id.name" "$*"
    ;;
  'user test '[1-4]' 16' | 'user test '[1-4]' 20')
    IFS= read -r given
    if [ -e "$BMC_STATE/takes-all" ] || [ "$given" = "$(state "user$3.password")" ]; then
      echo Success
    else
      echo 'Set User Password command failed (user 2)' >&2
      exit 1
    fi
    ;;
  'user set password '[1-4])
    IFS= read -r given
    IFS= read -r again
    if [ "$given" != "$again" ] || [ -e "$BMC_STATE/refuses" ]; then
      echo "Set User Password command failed (user $4, $given)" >&2
      exit 1
    fi
    put "user$4.password" "$given"
    ;;
  'channel setaccess '[12]' '[1-4]' callin=on ipmi=on link=on privilege=4')
    put "user$4.privilege" ADMINISTRATOR
    put "user$4.messaging" enabled
    ;;
  'user enable '[1-4]) put "user$3.enabled" enabled ;;
  'sol payload status '[12]' '[1-4]) echo "User $5 on channel $4 is $(state "user$5.payload")" ;;
  'sol payload enable '[12]' '[1-4]) put "user$5.payload" enabled ;;
  'sol info '[12])
    if [ ! -e "$BMC_STATE/sol.enabled" ]; then
      echo 'Error requesting SOL parameter' >&2
      exit 1
    fi
    echo 'Set in progress                 : set-complete'
    echo "Enabled                         : $(state sol.enabled)"
    echo "Force Encryption                : $(state sol.force-encryption)"
    echo "Force Authentication            : $(state sol.force-authentication)"
    echo "Privilege Level                 : $(state sol.privilege-level)"
    echo "Volatile Bit Rate (kbps)        : $(state sol.volatile-bit-rate)"
    echo "Non-Volatile Bit Rate (kbps)    : $(state sol.non-volatile-bit-rate)"
    ;;
  'sol set privilege-level admin '[12]) put sol.privilege-level ADMINISTRATOR ;;
  'sol set '*' '[12]) put "sol.$3" "$4" ;;
  *)
    echo "unexpected: $*" >>"$BMC_STATE/unexpected"
    exit 1
    ;;
esac
