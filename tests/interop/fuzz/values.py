"""Values that fit: what is drawn hardly ever is the date, the address or the key that a field wants."""

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMM5PVMe4jJvMMZdCqQD4JrkzOqilTPn+XnD0g9+P7qf"

# By the id of the field, in the types of the bundled plugins.
_BY_ID = {
    "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
    "secretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "accountId": "123456789012",
    "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
}
# By what values of the field look like.
_BY_KIND = {
    "url": "https://host.example.org/",
    "email": "alice@example.org",
    "number": "5",
    "boolean": "true",
    "date": "2026-01-31",
    "ip_address": "192.0.2.1",
    "totp_secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
}


def fitting(field):
    """A value for a field of a type."""
    choices = field.get("choices") or ["x"]
    return _BY_ID.get(field["id"]) or _BY_KIND.get(field["valueType"], choices[0])


def make_consistent(fields):
    """Makes the fields of a type that was drawn go with each other: ids of their own, choices for a choice alone."""
    for place, field in enumerate(fields):
        if not isinstance(field, dict):
            continue
        if isinstance(field.get("id"), str):
            field["id"] = f"{field['id'][:32]}{place}"
            field["name"] = f"Field {place}"
        if field.get("valueType") == "choice":
            field["choices"] = ["a", "b"]
        else:
            field.pop("choices", None)
        field.pop("computed", None)
