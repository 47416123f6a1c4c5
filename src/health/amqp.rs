//! The AMQP 0-9-1 handshake of the long-lived check connection, as bytes.
