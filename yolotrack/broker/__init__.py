"""Messages between roles: `base` is the contract, `memory` one process, `rabbitmq` many."""
