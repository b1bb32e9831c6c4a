#!/bin/sh
# GPUs for the tests of the mig overlay: answers as nvidia-smi of driver 550 does, from files in $GPU_STATE: `N.mode` has
# Enabled or Disabled, `N.instances` a line "NAME ID" for each GPU instance. What it was called with goes to `argv`.

printf '%s\n' "$*" >>"$GPU_STATE/argv"

# A profile's number and name, as those of an A100 with 80 GB are.
profile() {
  case $1 in
    9 | 3g.40gb) echo '3g.40gb 9' ;;
    19 | 1g.10gb) echo '1g.10gb 19' ;;
    *)
      echo "Invalid profile ID/name or alias: $1"
      return 1
      ;;
  esac
}

case $* in
  '--query-gpu=index --format=csv,noheader')
    for mode in "$GPU_STATE"/*.mode; do
      name=${mode##*/}
      echo "${name%.mode}"
    done
    ;;
  '-i '?' --query-gpu=mig.mode.current --format=csv,noheader')
    cat "$GPU_STATE/$2.mode" 2>/dev/null || {
      echo 'No devices were found'
      exit 6
    }
    ;;
  '-i '?' -mig 1')
    if [ -e "$GPU_STATE/$2.busy" ]; then
      echo 'Warning: MIG mode is in pending enable state for GPU 00000000:07:00.0: In use by another client'
      exit 0
    fi
    echo Enabled >"$GPU_STATE/$2.mode"
    ;;
  'mig -lgi -i '?)
    if [ ! -s "$GPU_STATE/$4.instances" ]; then
      echo 'No GPU instances found: Not Found'
      exit 6
    fi
    echo '+-------------------------------------------------------+'
    echo '| GPU instances:                                        |'
    echo '| GPU   Name             Profile  Instance   Placement  |'
    echo '|                          ID       ID       Start:Size |'
    echo '|=======================================================|'
    instance=1
    while read -r name id; do
      printf '|   %s  MIG %-15s %4s        %s          %s:4     |\n' "$4" "$name" "$id" "$instance" "$instance"
      echo '+-------------------------------------------------------+'
      instance=$((instance + 1))
    done <"$GPU_STATE/$4.instances"
    ;;
  'mig -dci -i '?) [ -s "$GPU_STATE/$4.instances" ] ;;
  'mig -dgi -i '?)
    if [ -e "$GPU_STATE/$4.busy" ]; then
      echo 'Unable to destroy GPU instance ID 1 from GPU 0: In use by another client'
      echo 'Failed to destroy GPU instances: In use by another client'
      exit 19
    fi
    : >"$GPU_STATE/$4.instances"
    ;;
  'mig -cgi '*' -C -i '?)
    : >"$GPU_STATE/made"
    for one in $(echo "$3" | tr , ' '); do
      if ! made=$(profile "${one%%/*}"); then
        echo "$made"
        exit 2
      fi
      echo "$made" >>"$GPU_STATE/made"
    done
    cat "$GPU_STATE/made" >"$GPU_STATE/$6.instances"
    ;;
  *)
    echo "unexpected: $*" >>"$GPU_STATE/unexpected"
    exit 1
    ;;
esac
