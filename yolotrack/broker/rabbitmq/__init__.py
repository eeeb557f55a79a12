"""The broker for many processes and machines: RabbitMQ 3.10 and later, over pika. Only this package imports pika."""

from yolotrack.broker.rabbitmq.broker import RabbitBroker

__all__ = ["RabbitBroker"]
