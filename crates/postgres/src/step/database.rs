//! A database as a whole: whose it is, whom it lets in, and what it is like from outside.

use strum::{IntoStaticStr, VariantNames};
use tenantdb_api::tenant_database::Create;

use super::role::administer_role;
use super::{Group, PostgresStep, Venue, connection_limit, sessions};
use crate::sql::{Membership, name, names, text, text_or_null};
use crate::{ESTATE, Taking};

/// A step on a database as a whole.
#[derive(Clone, Debug, PartialEq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum DatabaseStep {
    /// Makes a database that nobody can connect to yet.
    CreateDatabase {
        /// Its name.
        database: String,
        /// How many sessions it may have in all.
        limit: Option<i32>,
        /// What it is copied from, and how texts are kept and sorted in it.
        create: Create,
        /// Whether the server knows providers of locales.
        providers: bool,
    },
    /// Makes the estate the owner of a database that somebody else made, and gives the tenant what its owner had.
    AdoptDatabase {
        /// The database.
        database: String,
        /// Whose it is.
        from: String,
        /// The tenant's role.
        owner: String,
        /// Whether the tenant's role logs in.
        login: bool,
        /// Whether the estate has to be let decide who joins that role.
        administer: bool,
        /// The schemas that belong to whoever owns the database.
        schemas: Vec<String>,
        /// How it is taken from its owner.
        taking: Taking,
        /// Whether the server knows membership options.
        options: bool,
    },
    /// Takes PUBLIC out of a database, and lets the tenant in.
    Isolate {
        /// The database.
        database: String,
        /// Whether PUBLIC has to be taken out.
        public: bool,
        /// The logins that are let in.
        connect: Vec<String>,
        /// Other logins that are let in.
        visitors: Vec<String>,
        /// The tenant's role, if it has to be allowed to make schemas and extensions.
        create: Option<String>,
    },
    /// Lets a login into a database that is no tenant's.
    Admit {
        /// The database.
        database: String,
        /// The login.
        login: String,
        /// How the estate may do that.
        taking: Taking,
    },
    /// Keeps out other logins that were let in.
    Dismiss {
        /// The database.
        database: String,
        /// The logins.
        visitors: Vec<String>,
        /// Who else than the database's owner let them in, and may let nobody in any more.
        grantors: Vec<String>,
    },
    /// Makes the estate the owner of a database again.
    OwnDatabase {
        /// The database.
        database: String,
        /// How it is taken from its owner.
        taking: Taking,
    },
    /// Lets nobody but its owner copy a database any more (PostgreSQL documentation, 22.3).
    UnmarkTemplate {
        /// The database.
        database: String,
    },
    /// Sets how many sessions a database may have.
    LimitDatabase {
        /// The database.
        database: String,
        /// How many; unlimited when absent.
        limit: Option<i32>,
    },
    /// Sets or removes a database's comment.
    Comment {
        /// The database.
        database: String,
        /// The comment.
        comment: Option<String>,
    },
    /// Lets sessions into a database.
    OpenDatabase {
        /// The database.
        database: String,
        /// Whether somebody had closed it, and it is not just being made.
        drifted: bool,
    },
    /// Keeps new sessions out of a database.
    CloseDatabase {
        /// The database.
        database: String,
    },
    /// Destroys a database.
    DropDatabase {
        /// The database.
        database: String,
    },
}

impl From<DatabaseStep> for PostgresStep {
    fn from(step: DatabaseStep) -> Self {
        Self::Database(step)
    }
}

impl Group for DatabaseStep {
    fn kind(&self) -> &'static str {
        self.into()
    }

    fn venue(&self) -> Venue {
        match self {
            Self::CreateDatabase { .. } | Self::DropDatabase { .. } => Venue::Alone,
            Self::AdoptDatabase { .. } => Venue::Inside,
            Self::Isolate { .. }
            | Self::Admit { .. }
            | Self::Dismiss { .. }
            | Self::OwnDatabase { .. }
            | Self::UnmarkTemplate { .. }
            | Self::LimitDatabase { .. }
            | Self::Comment { .. }
            | Self::OpenDatabase { .. }
            | Self::CloseDatabase { .. } => Venue::Ledger,
        }
    }

    fn sign(&self) -> Option<char> {
        match self {
            Self::CreateDatabase { .. } => Some('+'),
            Self::AdoptDatabase { .. }
            | Self::Isolate { .. }
            | Self::Admit { .. }
            | Self::OwnDatabase { .. }
            | Self::UnmarkTemplate { .. }
            | Self::LimitDatabase { .. }
            | Self::Comment { .. }
            | Self::OpenDatabase { drifted: true, .. } => Some('~'),
            Self::Dismiss { .. } | Self::DropDatabase { .. } => Some('-'),
            Self::OpenDatabase { .. } | Self::CloseDatabase { .. } => None,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::CreateDatabase { database, limit, create, .. } => created(database, *limit, create),
            Self::AdoptDatabase { database, from, owner, schemas, administer, .. } => {
                handed_over(database, from, owner, schemas, *administer)
            }
            Self::Isolate { database, public, connect, visitors, create } => {
                isolated(database, *public, connect.iter().chain(visitors), create.as_deref())
            }
            Self::Admit { database, login, .. } => format!("database {database}: open to {login}"),
            Self::Dismiss { database, visitors, .. } => {
                format!("database {database}: no longer open to {}", visitors.join(", "))
            }
            Self::OwnDatabase { database, .. } => format!("database {database}: owned by {ESTATE}"),
            Self::UnmarkTemplate { database } => format!("database {database}: no template"),
            Self::LimitDatabase { database, limit } => format!("database {database}: {} in all", sessions(*limit)),
            Self::Comment { database, comment: Some(comment) } => format!("database {database}: comment {comment:?}"),
            Self::Comment { database, .. } => format!("database {database}: no comment"),
            Self::OpenDatabase { database, .. } => format!("database {database}: accepts connections"),
            Self::CloseDatabase { database } => format!("database {database}: accepts no connections"),
            Self::DropDatabase { database } => format!("database {database}, with all its data: dropped"),
        }
    }

    fn sql(&self, _verifier: &str) -> Vec<String> {
        match self {
            Self::CreateDatabase { database, limit, create, providers } => {
                let (made, limit) = (creation(create, *providers), connection_limit(*limit));
                vec![format!("CREATE DATABASE {}{made} ALLOW_CONNECTIONS false{limit}", name(database))]
            }
            Self::AdoptDatabase { database, owner, login, administer, schemas, taking, options, .. } => {
                let administer = administer.then(|| Taking::Login.around(administer_role(owner, *options)));
                let adopted = adopt(database, owner, *login, schemas, taking, *options);
                administer.into_iter().flatten().chain(adopted).collect()
            }
            Self::Isolate { database, public, connect, visitors, create } => {
                isolate(&name(database), *public, connect, visitors, create.as_deref())
            }
            Self::Admit { database, login, taking } => {
                taking.around(format!("GRANT CONNECT ON DATABASE {} TO {}", name(database), name(login)))
            }
            Self::Dismiss { database, visitors, grantors } => dismiss(&name(database), visitors, grantors),
            Self::OwnDatabase { database, taking } => {
                taking.around(format!("ALTER DATABASE {} OWNER TO {ESTATE}", name(database)))
            }
            Self::UnmarkTemplate { database } => vec![format!("ALTER DATABASE {} IS_TEMPLATE false", name(database))],
            Self::LimitDatabase { database, limit } => {
                vec![format!("ALTER DATABASE {} CONNECTION LIMIT {}", name(database), limit.unwrap_or(-1))]
            }
            Self::Comment { database, comment } => {
                vec![format!("COMMENT ON DATABASE {} IS {}", name(database), text_or_null(comment.as_ref()))]
            }
            Self::OpenDatabase { database, .. } => {
                vec![format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", name(database))]
            }
            Self::CloseDatabase { database } => {
                vec![format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", name(database))]
            }
            Self::DropDatabase { database } => vec![format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", name(database))],
        }
    }
}

fn created(database: &str, limit: Option<i32>, create: &Create) -> String {
    let parts = [
        limit.map(|limit| format!("at most {limit} sessions in all")),
        create.template.as_ref().map(|template| format!("a copy of {template}")),
        create.encoding.clone(),
        create.locale.as_ref().map(|locale| format!("locale {locale}")),
        create.icu_locale.as_ref().map(|locale| format!("ICU locale {locale}")),
    ];
    let parts = parts.into_iter().flatten().map(|part| format!(", {part}"));
    format!("database {database}{}", parts.collect::<String>())
}

fn handed_over(database: &str, from: &str, owner: &str, schemas: &[String], administer: bool) -> String {
    let database_owner = (from != ESTATE).then(|| format!("owned by {ESTATE}"));
    let schemas = schemas.iter().map(|schema| format!("schema {schema} owned by {owner}"));
    let role = administer.then(|| format!("{ESTATE} decides who joins {owner}"));
    let parts: Vec<String> = database_owner.into_iter().chain(schemas).chain(role).collect();
    format!("database {database}: {}", parts.join(", "))
}

fn isolated<'a>(
    database: &str,
    public: bool,
    let_in: impl Iterator<Item = &'a String>,
    creator: Option<&str>,
) -> String {
    let let_in: Vec<&str> = let_in.map(String::as_str).collect();
    let parts = [
        public.then(|| "closed to PUBLIC".to_owned()),
        (!let_in.is_empty()).then(|| format!("open to {}", let_in.join(", "))),
        creator.map(|creator| format!("{creator} may create in it")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("database {database}: {}", parts.join(", "))
}

/// How a database is made. A locale is libc's, unless it is ICU's: whatever the template's provider is (PostgreSQL
/// documentation, CREATE DATABASE).
fn creation(create: &Create, providers: bool) -> String {
    let template = create.template.as_ref().map_or_else(|| "template0".to_owned(), name);
    let encoding = create.encoding.as_ref().map(|encoding| format!(" ENCODING {}", text(encoding)));
    let locale = create.locale.as_ref().map(|locale| format!(" LOCALE {}", text(locale)));
    let provider = match (&create.icu_locale, &create.locale) {
        (Some(icu), _) => Some(format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", text(icu))),
        (None, Some(_)) if providers => Some(" LOCALE_PROVIDER libc".to_owned()),
        (None, _) => None,
    };
    let options = [encoding, locale, provider].into_iter().flatten();
    format!(" TEMPLATE {template}{}", options.collect::<String>())
}

/// Gives a database to the estate and what its owner had to the tenant, in one transaction: it is taken from there on.
/// What was granted to an owner is lost when it owns it no more, so the tenant's grants come last.
fn adopt(database: &str, owner: &str, login: bool, schemas: &[String], taking: &Taking, options: bool) -> Vec<String> {
    let (database, tenant) = (name(database), name(owner));
    let schemas = schemas.iter().map(|schema| format!("ALTER SCHEMA {} OWNER TO {tenant}", name(schema)));
    let connect = login.then(|| format!("GRANT CONNECT ON DATABASE {database} TO {tenant}"));
    let moved = schemas
        .chain([format!("ALTER DATABASE {database} OWNER TO {ESTATE}"), let_create(&database, owner)])
        .chain(connect);
    let (before, after) = match taking {
        Taking::Login => (Some("SET LOCAL ROLE NONE".to_owned()), Some(format!("SET LOCAL ROLE {ESTATE}"))),
        Taking::Estate | Taking::Member { .. } => (None, None),
    };
    let options = Membership::Full.options(options);
    let (join, leave) = (format!("GRANT {tenant} TO {ESTATE}{options}"), format!("REVOKE {tenant} FROM {ESTATE}"));
    [join].into_iter().chain(before).chain(moved).chain(after).chain([leave]).collect()
}

fn isolate(
    database: &str,
    public: bool,
    connect: &[String],
    visitors: &[String],
    creator: Option<&str>,
) -> Vec<String> {
    let revoke = public.then(|| format!("REVOKE CONNECT, TEMPORARY ON DATABASE {database} FROM PUBLIC"));
    let connect =
        (!connect.is_empty()).then(|| format!("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {}", names(connect)));
    let create = creator.map(|creator| let_create(database, creator));
    let visitors =
        (!visitors.is_empty()).then(|| format!("GRANT CONNECT ON DATABASE {database} TO {}", names(visitors)));
    [revoke, connect, create, visitors].into_iter().flatten().collect()
}

fn dismiss(database: &str, visitors: &[String], grantors: &[String]) -> Vec<String> {
    let grantors = (!grantors.is_empty())
        .then(|| format!("REVOKE GRANT OPTION FOR ALL ON DATABASE {database} FROM {} CASCADE", names(grantors)));
    let visitors = format!("REVOKE ALL ON DATABASE {database} FROM {} CASCADE", names(visitors));
    grantors.into_iter().chain([visitors]).collect()
}

/// Lets a tenant make schemas, extensions and temporary tables: whatever its logins do there, they do as the tenant.
fn let_create(database: &str, owner: &str) -> String {
    format!("GRANT CREATE, TEMPORARY ON DATABASE {database} TO {}", name(owner))
}
