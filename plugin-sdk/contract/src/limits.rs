//! How long, how large and how many the parts of a plugin's answers may be.
//!
//! Lengths are in bytes unless a constant says characters.

/// Longest name of a plugin.
pub const MAX_PLUGIN_NAME: usize = 64;
/// Longest version of a plugin.
pub const MAX_VERSION: usize = 64;
/// Longest contact of a plugin.
pub const MAX_CONTACT: usize = 256;

/// Most settings of a description.
pub const MAX_SETTINGS: usize = 128;
/// Most parameter sets of an offer.
pub const MAX_PARAMETER_SETS: usize = 32;
/// Most fields of a parameter set, and of a credential type.
pub const MAX_FIELDS: usize = 64;
/// Longest key of a field, and name of its kind.
pub const MAX_KEY: usize = 64;
/// Longest label of a field or type, choice, and permission scope.
pub const MAX_LABEL: usize = 200;
/// Longest help text of a field.
pub const MAX_HELP: usize = 2000;
/// Most choices of a field.
pub const MAX_CHOICES: usize = 256;
/// Longest default of a field.
pub const MAX_DEFAULT: usize = 4096;
/// Kinds that only settings have: a field of a credential or a parameter of such a kind would be
/// taken for plain text.
pub const KINDS_OF_SETTINGS: [&str; 5] = ["secret", "signing-key", "duration", "list", "map"];

/// Longest `state` of an issued credential.
pub const MAX_STATE: usize = 4 * 1024;
/// Longest `revoke-with` of an issued credential.
pub const MAX_REVOKE_WITH: usize = 4 * 1024;
/// Most entries of an issued credential, unless the configuration sets another limit.
pub const MAX_ENTRIES: usize = 64;
/// All names and values of the entries together, unless the configuration sets another limit.
pub const MAX_ENTRIES_TOTAL: usize = 256 * 1024;
/// Longest name of an entry, in characters.
pub const MAX_ENTRY_NAME: usize = 256;
/// Longest name of the file that an entry is saved as, in characters.
pub const MAX_FILE_NAME: usize = 128;
/// Largest suggested height or width of an entry.
pub const MAX_EXTENT: u32 = 10_000;
/// Latest `expires-at`, in Unix seconds: the end of the year 9999. A later one is in another unit.
pub const LAST_SECOND: u64 = 253_402_300_799;

/// Longest text that a user reads: of a refusal, or of a request for another login; in characters.
pub const MAX_USER_TEXT: usize = 500;
/// Longest message about a field or a setting, in characters.
pub const MAX_PROBLEM: usize = 500;

/// Longest value of a field of a credential.
pub const MAX_VALUE: usize = 16 * 1024;
/// All values of a credential together: every field as long as it may be.
pub const MAX_VALUES_TOTAL: usize = MAX_FIELDS * MAX_VALUE;

/// Most companies of a page.
pub const MAX_COMPANIES: usize = 1000;
/// Longest id of a company.
pub const MAX_COMPANY_ID: usize = 128;
/// Longest identifier of a company.
pub const MAX_COMPANY_IDENTIFIER: usize = 256;
/// Longest name of a company.
pub const MAX_COMPANY_NAME: usize = 1024;
/// Longest cursor.
pub const MAX_CURSOR: usize = 1024;
/// Longest JSON text of a company's configurations.
pub const MAX_CONFIGURATIONS: usize = 4 << 20;

/// Shortest secret that is searched for in what a plugin answers, in bytes: a shorter one would
/// match by chance, and a match would protect nothing.
pub const SHORTEST_SEARCHED: usize = 4;
