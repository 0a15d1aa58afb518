//! The values that a plugin asks for: settings of an admin, parameters of a user.

/// One value that an admin, a user or a technician fills in. Made by the constructor of its kind,
/// then described.
///
/// ```
/// use credsmith_plugin_sdk::Field;
/// let field = Field::duration("validity")
///     .label("Validity")
///     .help("How long a certificate lives")
///     .default(3600);
/// # assert_eq!(field.default.as_deref(), Some("3600"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// `[a-z][a-z0-9_]*` for settings and parameters, `[A-Za-z][A-Za-z0-9_]*` for fields of a
    /// credential.
    pub key: String,
    /// Its label, for people; the key unless set.
    pub label: String,
    /// Its purpose, in a sentence.
    pub help: String,
    /// One of the kinds of the contract; the constructors know them.
    pub kind: String,
    /// The values allowed when the kind is choice.
    pub choices: Vec<String>,
    /// Whether it has to be given.
    pub required: bool,
    /// Kept sealed, shown only on purpose, never kept for a revoke.
    pub secure: bool,
    /// Filled in by the plugin, never accepted from a client.
    pub computed: bool,
    /// The value that applies when none is given, spelled as in the contract: a duration in
    /// seconds, a list as JSON.
    pub default: Option<String>,
    /// For later versions of the contract; unknown keys are ignored.
    pub extra: Vec<(String, String)>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $kind:literal),* $(,)?) => {
        $(
            $(#[$doc])*
            pub fn $name(key: impl Into<String>) -> Self {
                Self::of_kind(key, $kind)
            }
        )*

        /// Every kind that this version of the contract knows.
        pub const KINDS: &[&str] = &[$($kind),*, "choice"];
    };
}

impl Field {
    kinds! {
        /// One line.
        text => "text",
        /// Several lines.
        multiline => "multiline",
        /// A line that is not shown while it is typed.
        password => "password",
        /// A whole number.
        integer => "integer",
        /// Any number.
        number => "number",
        /// Yes or no.
        boolean => "boolean",
        /// An absolute URL.
        url => "url",
        /// A mail address.
        email => "email",
        /// A day, `2026-12-31`.
        date => "date",
        /// An IPv4 or IPv6 address.
        ip_address => "ip-address",
        /// The secret behind one-time passwords, base32.
        totp_secret => "totp-secret",
        /// For settings: a value that arrives as a [`Secret`](crate::Secret).
        secret => "secret",
        /// For settings: a private key that arrives as a [`SigningKey`](crate::SigningKey).
        signing_key => "signing-key",
        /// For settings: a span of time such as `15m`; it arrives in seconds.
        duration => "duration",
        /// For settings: a list of texts.
        list => "list",
        /// For settings: texts by name.
        map => "map",
    }

    /// One of some given values.
    pub fn choice<C: Into<String>>(
        key: impl Into<String>,
        choices: impl IntoIterator<Item = C>,
    ) -> Self {
        let mut field = Self::of_kind(key, "choice");
        field.choices = choices.into_iter().map(Into::into).collect();
        field
    }

    /// A field of a kind that this crate does not know yet. A daemon that does not know it either
    /// takes it for text.
    pub fn of_kind(key: impl Into<String>, kind: impl Into<String>) -> Self {
        let key = key.into();
        Self {
            label: key.clone(),
            key,
            help: String::new(),
            kind: kind.into(),
            choices: Vec::new(),
            required: false,
            secure: false,
            computed: false,
            default: None,
            extra: Vec::new(),
        }
    }

    /// Its label, for people.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Its purpose.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// It has to be given.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// It is kept sealed and never kept for a revoke.
    #[must_use]
    pub fn secure(mut self) -> Self {
        self.secure = true;
        self
    }

    /// It is filled in by the plugin.
    #[must_use]
    pub fn computed(mut self) -> Self {
        self.computed = true;
        self
    }

    /// The value that applies when none is given. A duration in seconds, a list or a map as JSON
    /// (`json!` makes some).
    #[must_use]
    pub fn default(mut self, default: impl ToString) -> Self {
        self.default = Some(default.to_string());
        self
    }

    /// A further property.
    #[must_use]
    pub fn extra(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.push((key.into(), value.into()));
        self
    }
}
