#!/bin/sh
# Puts what the tests start on a Debian machine, where it is missing and we may; says so where it cannot.
# The tests start servers of their own; the packaged services are not started.
set -u

missing() {
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || has rabbitmq-server || echo rabbitmq-server
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || has postgres || echo postgresql
    for package in chromium ffmpeg strace xdotool; do
        has "$package" || echo "$package"
    done
    has Xvfb || echo xvfb
    has pgbouncer || [ -x /usr/sbin/pgbouncer ] || echo pgbouncer
}
has() { command -v "$1" >/dev/null 2>&1; }

wanted=$(missing | tr '\n' ' ')
[ -z "$wanted" ] && exit 0

as_root=
[ "$(id -u)" = 0 ] || as_root='sudo -n'
if ! has apt-get || ! $as_root true 2>/dev/null; then
    echo "missing, and cannot be installed from here: ${wanted}(the tests that need them will be skipped)" >&2
    exit 0
fi

echo "installing for the tests: $wanted" >&2
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null && $as_root chmod +x "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi
$as_root apt-get -qq update >/dev/null 2>&1
for package in $wanted; do  # one by one, so that one that cannot be had keeps no other out
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$package" >/dev/null 2>&1
done
wanted=$(missing | tr '\n' ' ')
[ -z "$wanted" ] || echo "could not be installed: ${wanted}(the tests that need them will be skipped)" >&2
exit 0
