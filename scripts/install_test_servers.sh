#!/bin/sh
# Puts RabbitMQ on a Debian machine for the tests, where it is missing and we may; says so where it cannot.
# The tests start nodes of their own; the packaged service is not started.
set -u

present() { [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null 2>&1; }

present && exit 0

as_root=
[ "$(id -u)" = 0 ] || as_root='sudo -n'
if ! command -v apt-get >/dev/null 2>&1 || ! $as_root true 2>/dev/null; then
    echo 'RabbitMQ is missing and cannot be installed from here: the tests that need it will be skipped' >&2
    exit 0
fi

echo 'installing RabbitMQ for the tests' >&2
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null && $as_root chmod +x "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi
{ $as_root apt-get -qq update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends rabbitmq-server; } >/dev/null 2>&1
present || echo 'RabbitMQ could not be installed: the tests that need it will be skipped' >&2
exit 0
