//! Signs OpenSSH user certificates.
