//! A destination, prepared for use.

use std::sync::Arc;

use super::address::AddressPolicy;
use super::destination::{Destination, Origin, Scheme};
use super::error::ClientError;
use super::pool::{IdleLimits, Pool};
use super::tls::{self, Tls};

/// A destination, prepared for use.
pub(super) struct Target {
    pub(super) origin: Origin,
    pub(super) addresses: AddressPolicy,
    pub(super) tls: Option<Tls>,
    pub(super) pool: Arc<Pool>,
}

impl Target {
    pub(super) fn new(destination: &Destination, idle: IdleLimits) -> Result<Self, ClientError> {
        let origin = Origin::configured(destination)
            .ok_or_else(|| ClientError::Host(destination.host.clone()))?;
        let has_tls_settings =
            destination.extra_roots_pem.is_some() || destination.identity.is_some();
        let tls = match destination.scheme {
            Scheme::Https => Some(tls::prepare(destination, &origin)?),
            Scheme::Http if has_tls_settings => {
                return Err(ClientError::UnusedTlsSettings(origin.to_string()));
            }
            Scheme::Http => None,
        };
        Ok(Self { origin, addresses: destination.addresses.clone(), tls, pool: Pool::new(idle) })
    }
}
