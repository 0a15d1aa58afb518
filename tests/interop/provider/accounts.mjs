// Who has an account at the provider.

const accounts = new Map([
  ["alice", { name: "Alice Adams", email: "alice@example.org", groups: ["users", "admins"] }],
  ["bob", { name: "Bob Brown", email: "bob@example.org", groups: ["users"] }],
  ["carol", { name: "Carol Clark", email: "carol@example.org", groups: ["guests"] }],
]);

/** Which claims each scope opens: the form of oidc-provider's setting `claims`. */
export const claimsByScope = {
  openid: ["sub"],
  profile: ["name", "preferred_username", "groups"],
  email: ["email", "email_verified"],
};

/** oidc-provider's `findAccount`: undefined for an account that does not exist. */
export function findAccount(_context, id) {
  const account = accounts.get(id);
  return account && {
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, email_verified: true, ...account }),
  };
}
