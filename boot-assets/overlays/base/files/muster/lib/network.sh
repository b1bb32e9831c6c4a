# Network: the one device that the node booted from, so that it can tell how the boot goes. Whatever fails here is said
# and the boot goes on: the image's own network comes later and is no concern of these scripts.

# boot_mac: the device that iPXE booted from (muster.mac=, or PXELINUX's BOOTIF=01-…), else the primary one.
boot_mac() {
  _mac=$(kernel_argument muster.mac)
  if [ -z "$_mac" ]; then
    _mac=$(kernel_argument BOOTIF)
    _mac=${_mac#??-}
  fi
  printf '%s\n' "${_mac:-$(setting mac)}" | tr 'A-F-' 'a-f:'
}

# device_of MAC: names are not to be trusted (the other card may have become eth0), addresses are.
device_of() {
  [ -n "$1" ] || return 1
  for _device in /sys/class/net/*; do
    if [ "$(cat "$_device/address" 2>/dev/null)" = "$1" ]; then
      printf '%s\n' "${_device##*/}"
      return 0
    fi
  done
  return 1
}

has_device() {
  device_of "$1" >/dev/null
}

has_carrier() {
  [ "$(cat "/sys/class/net/$1/carrier" 2>/dev/null)" = 1 ]
}

# add_address DEVICE ADDRESS/PREFIX GATEWAY
add_address() {
  ip address add "$2" dev "$1" || return 1
  [ -z "$3" ] || ip route replace default via "$3" dev "$1"
}

quietly() {
  "$@" >/dev/null 2>&1
}

# ask_dhcp DEVICE: with whatever the image has. The clients are told to leave the address and go.
ask_dhcp() {
  if have udhcpc; then
    quietly bounded 8 udhcpc -i "$1" -n -q -t 3 -T 2 -s "$MUSTER/dhcp"
  elif have dhclient; then
    quietly bounded 8 dhclient -4 -1 -pf "$MUSTER_RUN/dhclient.pid" -lf "$MUSTER_RUN/dhclient.leases" "$1" || return 1
    # Stops the client without giving the lease back.
    quietly bounded 5 dhclient -4 -x -pf "$MUSTER_RUN/dhclient.pid" -lf "$MUSTER_RUN/dhclient.leases" "$1" || :
  elif have dhcpcd; then
    quietly bounded 8 dhcpcd -4 -1 -p -t 6 "$1"
  else
    say 'no udhcpc, dhclient or dhcpcd in this image to ask for an address with'
    return 1
  fi
}

# configure DEVICE MAC: the address that the node owns, else the one that iPXE was given, else a new one.
configure() {
  _address=
  if [ "$2" = "$(setting mac)" ]; then
    _address=$(setting address)
    _gateway=$(setting gateway)
    _mtu=$(setting mtu)
    if [ -n "$_mtu" ]; then
      ip link set "$1" mtu "$_mtu" || warn "$1 does not take an MTU of $_mtu"
    fi
  fi
  if [ -z "$_address" ]; then
    _address=$(kernel_argument muster.address)
    _gateway=$(kernel_argument muster.gateway)
  fi
  if [ -n "$_address" ]; then
    add_address "$1" "$_address" "$_gateway"
  else
    ask_dhcp "$1"
  fi
}

# write_resolv_conf: the servers of the settings, unless the image or an overlay has said something.
write_resolv_conf() {
  [ -n "$(setting nameservers)" ] && [ ! -e /etc/resolv.conf ] && [ ! -L /etc/resolv.conf ] || return 0
  # shellcheck disable=SC2046 # one word a server
  printf 'nameserver %s\n' $(setting nameservers) >/etc/resolv.conf
}

# start_network: fails, having said why, when the node cannot be heard.
start_network() {
  if ! have ip; then
    say 'no ip command in this image (package iproute2 or iproute): Muster is not told how this boot goes'
    return 1
  fi
  ip link set lo up
  _mac=$(boot_mac)
  if ! within 3 has_device "$_mac"; then
    # shellcheck disable=SC2046 # one word a device
    say "no network device has the MAC ${_mac:-(none)}: there are" $(cat /sys/class/net/*/address 2>/dev/null)
    return 1
  fi
  BOOT_DEVICE=$(device_of "$_mac")
  if ! ip link set "$BOOT_DEVICE" up || ! within 8 has_carrier "$BOOT_DEVICE"; then
    say "no link on $BOOT_DEVICE ($_mac)"
    return 1
  fi
  if ! configure "$BOOT_DEVICE" "$_mac"; then
    say "no address for $BOOT_DEVICE ($_mac)"
    return 1
  fi
  write_resolv_conf
  say "network: $BOOT_DEVICE ($_mac) $(ip -4 -o address show dev "$BOOT_DEVICE" | sed -n 's/.* inet \([^ ]*\).*/\1/p;q')"
}

# stop_network: an image with a network manager finds the device as the firmware left it. NetworkManager would leave
# alone a device that already has an address, and ifupdown would fail on it.
stop_network() {
  _device=$(device_of "$(boot_mac)") || return 0
  ip address flush dev "$_device" 2>/dev/null
  ip link set "$_device" down 2>/dev/null
  return 0
}
