-- The same for what the ledger knows of them.
CREATE TEMP TABLE others AS SELECT 'tenant' || lpad(number::text, 4, '0') AS name, number::bigint * 1000 AS shift
    FROM generate_series(1, {tenants} - 1) number;

INSERT INTO ledger.tenant (authority, kind, namespace, name, access, database_name, database_oid, adopted, phase, applied,
    cluster_uid, namespace_uid)
SELECT authority, kind, namespace, o.name, access, o.name, database_oid::bigint + shift, adopted, phase,
    replace(applied::text, 'tenant0000', o.name)::jsonb, cluster_uid, namespace_uid
FROM ledger.tenant t, others o WHERE t.name = 'tenant0000';

CREATE FUNCTION pg_temp.digest(username text) RETURNS text LANGUAGE sql AS $$
    SELECT encode(sha256(convert_to(username, 'UTF8') || '\x00' || convert_to('{password}', 'UTF8')), 'hex') $$;

INSERT INTO ledger.role (name, tenant, purpose, slot, state, generation, login_digest, place)
SELECT replace(r.name, 'tenant0000', t.name), t.id, purpose, slot, state, generation,
    CASE WHEN login_digest IS NOT NULL THEN pg_temp.digest(replace(r.name, 'tenant0000', t.name)) END, place
FROM ledger.role r JOIN ledger.tenant one ON one.id = r.tenant AND one.name = 'tenant0000', ledger.tenant t
WHERE t.name <> 'tenant0000';

INSERT INTO ledger.delivery (tenant, place, location, secret_name, generation, login_digest)
SELECT t.id, place, replace(location, 'tenant0000', t.name), replace(secret_name, 'tenant0000', t.name), generation,
    pg_temp.digest(replace('{username}', 'tenant0000', t.name))
FROM ledger.delivery d JOIN ledger.tenant one ON one.id = d.tenant AND one.name = 'tenant0000', ledger.tenant t
WHERE t.name <> 'tenant0000';
