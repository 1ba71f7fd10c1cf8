//! What a file says of revocation is what a token is held to.
