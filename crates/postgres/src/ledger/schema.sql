-- The ledger: who owns what on this server. Never a password.
CREATE SCHEMA ledger;

CREATE TABLE ledger.server (
    version integer NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Where it was made: after a restore from a dump both are others, and it may be older than its server.
    database_oid oid NOT NULL,
    table_oid oid NOT NULL,
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton)
);

CREATE TABLE ledger.tenant (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    authority text NOT NULL,
    kind text NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    -- The further login of a database that it is; empty for the database itself.
    access text NOT NULL DEFAULT '',
    -- Its own; absent where it is only let into others'.
    database_name text UNIQUE,
    database_oid oid,
    -- Whether somebody else had made its database: until that is found whole, it is half adopted.
    adopted boolean NOT NULL DEFAULT false,
    phase text NOT NULL CHECK (phase IN ('Claimed', 'Provisioned', 'Deleting', 'Orphaned')),
    orphaned_at timestamptz,
    applied jsonb NOT NULL,
    -- Counts the transactions on this tenant: whoever planned from an older count looks again.
    epoch bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- What tells the cluster and the namespace of its declaration from others of the same name, where it stands in one.
    cluster_uid text,
    namespace_uid text CHECK ((namespace_uid IS NULL) = (cluster_uid IS NULL)),
    UNIQUE (authority, kind, namespace, name, access)
);

CREATE TABLE ledger.role (
    name text PRIMARY KEY,
    tenant bigint NOT NULL REFERENCES ledger.tenant ON DELETE CASCADE,
    purpose text NOT NULL CHECK (purpose IN ('Owner', 'Slot', 'Level', 'Reserved')),
    slot text CHECK ((purpose = 'Slot') = (slot IS NOT NULL)),
    -- Of a slot; and of the owner where it is what logs in, or still does with the password that it had before.
    state text CHECK (state IN ('Retired', 'Issuing', 'Active', 'Draining')),
    generation bigint NOT NULL DEFAULT 0,
    login_digest text,
    -- Where the login goes that is being issued: another place than that leaves it alone.
    place text,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON ledger.role (tenant);

CREATE TABLE ledger.delivery (
    tenant bigint NOT NULL REFERENCES ledger.tenant ON DELETE CASCADE,
    place text NOT NULL,
    location text NOT NULL,
    secret_name text NOT NULL,
    generation bigint NOT NULL,
    login_digest text NOT NULL,
    -- When this generation was delivered first; `confirmed_at` also counts its repairs.
    issued_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, place)
);

-- The scripts that ran in the database, and never run in it again.
CREATE TABLE ledger.script (
    tenant bigint NOT NULL REFERENCES ledger.tenant ON DELETE CASCADE,
    digest text NOT NULL,
    name text NOT NULL,
    ran_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, digest)
);

-- When a login that is no slot was last seen in a database.
CREATE TABLE ledger.sighting (
    database oid NOT NULL,
    login text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (database, login)
);

CREATE TABLE ledger.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    authority text NOT NULL,
    kind text NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    access text NOT NULL DEFAULT '',
    action text NOT NULL,
    by text NOT NULL DEFAULT current_setting('application_name')
);
CREATE INDEX ON ledger.audit (namespace, name);

-- Ends the transaction of whoever lost the tenant to someone else.
CREATE FUNCTION ledger.hold(held bigint, expected bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ledger.tenant SET epoch = epoch + 1 WHERE id = held AND epoch = expected;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the tenant was changed by someone else meanwhile' USING ERRCODE = 'TD001';
    END IF;
END $$;

INSERT INTO ledger.server (version, database_oid, table_oid)
SELECT 2, oid, 'ledger.server'::regclass FROM pg_database WHERE datname = current_database();
