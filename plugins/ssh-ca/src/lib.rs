//! Signs OpenSSH user certificates with a key that stays in the daemon.
//!
//! It decides the content of each user's certificate: principals, validity, restrictions. It never
//! sees a private key, neither the CA's nor the user's, and never issues a certificate without
//! principals, since such a one opens every account. Start reading at `SshCa`.

mod authority;
mod public_key;
mod restrictions;
mod template;

use std::time::{Duration, UNIX_EPOCH};

use credsmith_plugin_sdk::prelude::*;
use credsmith_plugin_sdk::{clock, log, random};
use ssh_key::Certificate;
use ssh_key::certificate::{Builder, CertType};

use crate::authority::Authority;
use crate::public_key::{LEAST_RSA_BITS, UserKey};
use crate::restrictions::Restrictions;
use crate::template::{KeyId, Principals};

/// The configured service.
struct SshCa {
    authority: Authority,
    principals: Principals,
    key_id: KeyId,
    /// How long a certificate lives, and how far before now it begins.
    validity: Duration,
    backdate: Duration,
    restrictions: Restrictions,
    rsa_bits: usize,
}

/// A certificate cannot be taken back, so it must not live long.
const LONGEST_VALIDITY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Clocks that differ by more than this need mending instead.
const LONGEST_BACKDATE: Duration = Duration::from_secs(60 * 60);

impl Service for SshCa {
    fn describe() -> Description {
        Description::new("ssh-ca", env!("CARGO_PKG_VERSION"))
            .setting(
                Field::signing_key("ca_key")
                    .label("CA key")
                    .help("Private key of the CA: Ed25519 or ECDSA P-256.")
                    .required(),
            )
            .setting(
                Field::list("principals")
                    .label("Principals")
                    .help("Accounts that the certificate opens; {claim} stands for a claim of the user, a list for several accounts.")
                    .required(),
            )
            .setting(
                Field::list("reserved_principals")
                    .label("Reserved principals")
                    .help("Accounts that no claim may lead to.")
                    .default(json!(["root"])),
            )
            .setting(Field::duration("validity").label("Validity").help("How long a certificate lives.").default(3600))
            .setting(
                Field::duration("backdate")
                    .label("Backdate")
                    .help("How far before now a certificate begins, for servers whose clocks are behind.")
                    .default(60),
            )
            .setting(
                Field::text("key_id")
                    .label("Key id")
                    .help("What servers log; has to contain {credential_id}, may contain {service} and claims.")
                    .default("{credential_id} {sub}"),
            )
            .setting(
                Field::list("extensions")
                    .label("Extensions")
                    .help("What a session may do.")
                    .default(json!(["permit-pty"])),
            )
            .setting(Field::text("force_command").label("Forced command").help("Runs instead of what the user asks for."))
            .setting(
                Field::list("source_address")
                    .label("Source addresses")
                    .help("Networks from which the certificate is valid, such as 192.0.2.0/24."),
            )
            .setting(
                Field::integer("min_rsa_bits").label("Shortest RSA key").help("In bits.").default(LEAST_RSA_BITS),
            )
    }

    fn configure(settings: &Settings) -> Result<Self, Noted> {
        let authority = settings.parse("ca_key", Authority::new);
        let principals = template::principals(settings);
        let key_id = settings.parse("key_id", |text: String| KeyId::parse(&text));
        let validity = settings
            .parse("validity", |span| within(span, Duration::from_secs(1), LONGEST_VALIDITY));
        let backdate =
            settings.parse("backdate", |span| within(span, Duration::ZERO, LONGEST_BACKDATE));
        let restrictions = Restrictions::read(settings);
        let rsa_bits = settings.parse("min_rsa_bits", public_key::least_bits);
        Ok(Self {
            authority: authority?,
            principals: principals?,
            key_id: key_id?,
            validity: validity?,
            backdate: backdate?,
            restrictions: restrictions?,
            rsa_bits: rsa_bits?,
        })
    }

    fn offer(&self) -> Offer {
        let key = Field::multiline("pub_key")
            .label("Public key")
            .help("One line, as in id_ed25519.pub.")
            .required();
        // Servers do not learn that a certificate is no longer to be trusted, so none can be
        // revoked.
        Offer::irrevocable().parameters([key])
    }

    fn issue(&self, request: &Request) -> Result<Outcome, NotIssued> {
        let key = UserKey::parse(&request.get::<String>("pub_key")?, self.rsa_bits)?;
        let principals = self.principals.of(&request.user())?;
        let span = self.span(request.not_after())?;
        let key_id = self.key_id.of(request);
        let certificate = self.certificate(key, &principals, &key_id, &span).map_err(|cause| {
            Refusal::new(
                "The certificate could not be signed. Please tell the operator of this service.",
            )
            .log(cause)
        })?;
        log::info(format!("signed serial {} for {}", certificate.serial(), principals.join(",")));
        issued(&certificate, &principals, &span).map_err(NotIssued::Refused)
    }

    fn revoke(&self, _: &Request, made: &Made) -> Result<(), Refusal> {
        match made.state() {
            // The certificate was signed for an answer that was not delivered, so no client has it.
            None => Ok(()),
            Some(_) => {
                Err(Refusal::new("An SSH certificate cannot be taken back; it ends by itself."))
            }
        }
    }
}

fn within(span: Duration, least: Duration, most: Duration) -> Result<Duration, String> {
    let fits = (least..=most).contains(&span);
    fits.then_some(span)
        .ok_or_else(|| format!("is not between {} and {} seconds", least.as_secs(), most.as_secs()))
}

/// When a certificate is valid, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    after: u64,
    before: u64,
}

impl SshCa {
    fn span(&self, not_after: Option<u64>) -> Result<Span, Refusal> {
        let now = clock::now();
        let before = now.saturating_add(self.validity.as_secs()).min(not_after.unwrap_or(u64::MAX));
        if before <= now {
            return Err(Refusal::new("The time for this credential is over already."));
        }
        Ok(Span { after: now.saturating_sub(self.backdate.as_secs()), before })
    }

    fn certificate(
        &self,
        key: UserKey,
        principals: &[String],
        key_id: &str,
        span: &Span,
    ) -> Result<Certificate, String> {
        // The builder refuses a certificate that was never given a principal: it would be valid for
        // every account.
        let mut builder =
            Builder::new(random::bytes::<32>(), key.into_data(), span.after, span.before)
                .map_err(text)?;
        builder.cert_type(CertType::User).and_then(|b| b.serial(random::number())).map_err(text)?;
        builder.key_id(key_id).and_then(|b| b.comment(key_id)).map_err(text)?;
        for principal in principals {
            builder.valid_principal(principal).map_err(text)?;
        }
        self.restrictions.apply(&mut builder).map_err(text)?;
        builder.sign(&self.authority).map_err(text)
    }
}

fn text(error: ssh_key::Error) -> String {
    error.to_string()
}

fn issued(
    certificate: &Certificate,
    principals: &[String],
    span: &Span,
) -> Result<Outcome, Refusal> {
    let written = certificate.to_openssh().map_err(|error| {
        Refusal::new(
            "The certificate could not be written. Please tell the operator of this service.",
        )
        .log(text(error))
    })?;
    // The names by which a later revocation list can name this certificate.
    let state =
        json!({ "serial": certificate.serial().to_string(), "key_id": certificate.key_id() })
            .to_string();
    let until = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(span.before));
    let account = principals.first().map_or("ACCOUNT", String::as_str);
    Ok(Issued::new(state)
        .entry(Entry::textfile("Certificate", "id-cert.pub", format!("{written}\n")).size(10, 80))
        .entry(Entry::text("Principals", principals.join(", ")))
        .entry(Entry::text("Valid until", until))
        .entry(Entry::text("Key id", certificate.key_id()))
        .entry(Entry::text("Serial", certificate.serial().to_string()))
        .entry(Entry::text(
            "Use it with",
            format!("ssh -i PRIVATE_KEY -o CertificateFile=id-cert.pub {account}@HOST"),
        ))
        .expires_at(span.before)
        .into())
}

export_service!(SshCa);

#[cfg(test)]
mod tests;
