-- Templates, their versions and partials.

create table template (
    id          int generated always as identity primary key,
    app_id      int not null references app,
    name        text not null,
    version     int not null,                    -- the newest
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    archived_at timestamptz,
    unique (app_id, name)
);
create table template_version (
    template_id int not null references template on delete cascade,
    version     int not null,
    content     jsonb not null,                  -- fields and their variants by language
    note        text not null default '',
    created_at  timestamptz not null,
    primary key (template_id, version)
);
create table partial (
    app_id      int not null references app,
    name        text not null,
    source      text not null,
    updated_at  timestamptz not null,
    primary key (app_id, name)
);
