//! Lists of networks.

use std::net::IpAddr;

use ipnet::IpNet;

use super::read::Value;

/// Reads networks like `10.0.0.0/8`; a bare address is a network of one.
pub(crate) fn read(value: &Value<'_>) -> Option<Vec<IpNet>> {
    value.list(|item| {
        let text = item.text()?;
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        match network {
            Ok(network) => Some(network.trunc()),
            Err(_) => {
                item.fault(format!(
                    "is {text:?}, expected a network like \"10.1.0.0/16\" or an address"
                ));
                None
            }
        }
    })
}
