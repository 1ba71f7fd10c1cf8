//! TLS acceptors that hand the certificate of a client to the layer.
