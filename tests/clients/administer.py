"""Everything that haproxyadmin does to servers, with the stats socket in the first argument."""

import sys

from haproxyadmin import haproxy

balancer = haproxy.HAProxy(socket_file=sys.argv[1])
assert balancer.version.startswith("2.6."), balancer.version
assert [one.name for one in balancer.frontends()] == ["amqp"]
assert [one.name for one in balancer.backends()] == ["rabbit", "plain"]

server = balancer.backend("rabbit").server("r2")
for state, status in [("drain", "DRAIN"), ("enable", "UP"), ("disable", "MAINT"), ("enable", "UP")]:
    assert server.setstate(state), state
    assert server.status.startswith(status), (state, server.status)
assert server.setweight(50) and int(server.weight) == 50
assert server.setweight("100%") and int(server.weight) == 100
assert server.shutdown()

frontend = balancer.frontend("amqp")
assert frontend.setmaxconn(150) and int(frontend.maxconn) == 150
assert frontend.disable() and frontend.status == "PAUSED"
assert frontend.enable() and frontend.status == "OPEN"
assert balancer.setmaxconn(200) and int(balancer.maxconn) == 200
assert balancer.clearcounters() and balancer.clearcounters(all=True)
assert int(balancer.requests) == 0
assert "Total events captured" in str(balancer.errors())
