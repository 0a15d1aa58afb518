//! The text that `credsmith dev` prints when it serves: commands for the main use cases, to be
//! pasted.

use super::data::DevData;

/// The welcome. Each block works on its own after the first line of the first one, and works again
/// when repeated.
pub(super) fn text(public: &str, issuer: &str, data: &DevData) -> String {
    let ca = data.ca_public();
    let ca = ca.display();
    let kept = if data.is_temporary() {
        "State is temporary and gone at the end; --data DIR keeps it.".to_owned()
    } else {
        format!("State is kept in {}.", data.path().display())
    };
    let socket = public.replacen("http", "ws", 1);
    format!(
        r#"
Credsmith serves {public}, with a demo provider at {issuer}.
Accounts: alice (groups users, admins) and bob (group users). {kept}

Paste into another shell:

  # Who I am, as a header
  AUTH="Authorization: Bearer $(curl -sS '{issuer}/dev/token?user=alice')"
  JSON="Content-Type: application/json"
  API={public}/api/v2/dev

  # List the services, and my credentials
  curl -sS -H "$AUTH" $API/service; echo
  curl -sS -H "$AUTH" $API/credential; echo

  # Request a credential and fetch it (curl follows to where it can be read, once); then revoke it
  GOT=$(curl -sSL -H "$AUTH" -H "$JSON" -d '{{"service_id":"info"}}' $API/credential); printf '%s\n' "$GOT"
  ID=$(printf '%s' "$GOT" | grep -o '"id":"[0-9a-f-]*"' | head -n 1 | cut -d '"' -f 4)
  curl -sS -H "$AUTH" -X DELETE $API/credential/$ID; echo

  # An SSH certificate for a key of my own
  test -f demo_key || ssh-keygen -q -t ed25519 -N '' -f demo_key
  curl -sSL -H "$AUTH" -H "$JSON" $API/credential \
    -d "{{\"service_id\":\"ssh\",\"params\":{{\"pub_key\":\"$(cat demo_key.pub)\"}}}}" |
    grep -o 'ssh-ed25519-cert-v01@openssh.com [A-Za-z0-9+/=]*' > demo_key-cert.pub
  ssh-keygen -L -f demo_key-cert.pub
  # It opens a server that has this line in its sshd_config: TrustedUserCAKeys {ca}

  # The vault, where alice may do everything and bob is a technician: sign in (in a browser the
  # provider shows its accounts; login_hint picks one)
  V={public}/v1
  URI=$(curl -sS $V/auth/uri | grep -o '"uri":"[^"]*"' | cut -d '"' -f 4)
  TOKENS=$(curl -sSL -H 'Accept: application/json' "$URI&login_hint=alice")
  VAULT="Authorization: Bearer $(printf '%s' "$TOKENS" | grep -o '"accessToken":"[^"]*"' | cut -d '"' -f 4)"
  curl -sS -H "$VAULT" $V/user/@me; echo

  # The companies, the credentials of the first one, and what is secret in one of them
  COMPANY=$(curl -sS -H "$VAULT" "$V/company/companies?search=acme" | grep -o '"id":"[a-z0-9]*"' | head -n 1 | cut -d '"' -f 4)
  CREDENTIAL=$(curl -sS -H "$VAULT" $V/credential/credentials/company/$COMPANY | grep -o '"id":"[a-z0-9]*"' | head -n 1 | cut -d '"' -f 4)
  curl -sS -H "$VAULT" $V/credential/credentials/$CREDENTIAL; echo
  curl -sS -H "$VAULT" $V/credential/credentials/$CREDENTIAL/secure-values; echo

  # The same for a client that opens a browser for its user: it waits at a WebSocket. After the sign-in at `uri` the browser shows a page that
  # asks whether that program may have the tokens; the program gets them when its user presses "Yes, sign me in"
  #   curl -sS $V/auth/uri
  #   npx wscat -c "{socket}/v1/auth/socket?callbackKey=<callbackKey>"

Ctrl-C ends it.
"#
    )
}
