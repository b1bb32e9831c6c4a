# The BMC's own network.
# shellcheck disable=SC2154 # channel and PATIENCE are of init.d/50-bmc

# set_lan FIELD VALUE ARGUMENT…: where the BMC has another value. Nothing is done without a value.
set_lan() {
  [ -n "$2" ] && [ "$(field "$1" "$lan")" != "$2" ] || return 0
  _field=$1
  _value=$2
  shift 2
  change "$_field to $_value" lan set "$channel" "$@" "$_value" && changed=yes
}

# taken FIELD VALUE: whether the BMC has it now.
taken() {
  [ -z "$2" ] || [ "$(field "$1" "$lan")" = "$2" ]
}

lan_taken() {
  taken 'IP Address' "$address" && taken 'Subnet Mask' "$netmask" && taken 'Default Gateway IP' "$gateway" &&
    taken '802.1q VLAN ID' "$vlan"
}

set_network() {
  address=$(wanted address)
  netmask=$(wanted netmask)
  gateway=$(wanted gateway)
  vlan=$(wanted vlan)
  case "$address $gateway" in
    *:*)
      fault 'its address or gateway is IPv6, which this script does not set: leave bmc.address out, or set it on the BMC'
      return
      ;;
  esac
  if ! lan=$(ipmi lan print "$channel" 2>&1); then
    fault "cannot read the network of channel $channel: $(printf '%s\n' "$lan" | tail -n 1)"
    return
  fi
  changed=
  # With DHCP an address would not last; and a BMC refuses one while it uses DHCP.
  if [ -n "$address" ] && [ "$(field 'IP Address Source' "$lan")" != 'Static Address' ]; then
    change 'IP Address Source to static' lan set "$channel" ipsrc static && changed=yes
  fi
  set_lan 'IP Address' "$address" ipaddr
  set_lan 'Subnet Mask' "$netmask" netmask
  set_lan 'Default Gateway IP' "$gateway" defgw ipaddr
  set_lan '802.1q VLAN ID' "$vlan" vlan id
  case $(field 'Access Mode' "$(ipmi channel info "$channel" 2>/dev/null)") in
    'always available') ;;
    *) change "access over channel $channel" lan set "$channel" access on ;;
  esac
  [ -n "$changed" ] || return
  _left=$PATIENCE
  until lan=$(ipmi lan print "$channel" 2>/dev/null) && lan_taken; do
    if [ "$_left" -le 0 ]; then
      fault 'the BMC took the network settings, and does not have them'
      return
    fi
    sleep 1
    _left=$((_left - 1))
  done
}
