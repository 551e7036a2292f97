# Varnish 7.1 or later with varnish-modules, as a server of the federation. The dialect `varnish` speaks to this file.
#
# PURGE /path                    removes one URL of the host name, with all its variants
# PURGE with X-Purge-Tags: a b   removes what the origin tagged so (headers `Surrogate-Key` or `xkey`), of this host name
# ... with X-Purge-Mode: soft    marks stale instead: it may serve once more, within its grace, while it is fetched again
# BAN                            hides everything of the host name
# BAN with X-Ban-Regex: ...      hides what of the host name matches, path and query
# The answer to a PURGE says in X-Purged how many objects it was; for tags, one that was removed a moment ago may still
# be counted. X-Federation-Purge: 1 says that a PURGE or BAN was understood. Every answer to a visitor says X-Cache: HIT, STALE, MISS or PASS, and to an adapter also X-Store: stored,
# uncacheable or too-large.
#
# Whatever is sent, a call reaches the objects of its own host name and of no other.
# Replace what stands between @ signs.

vcl 4.1;

import purge;
import std;
import xkey;

backend origin {
    .host = "@ORIGIN_HOST@";
    .port = "@ORIGIN_PORT@";
}

# Who may purge and ban: the addresses of the participant's adapters.
acl adapters {
    "@ADAPTER@";
}

sub vcl_recv {
    unset req.http.x-cache;
    unset req.http.x-purged;

    # One spelling for each host name, and none that could mean something in a ban or a tag.
    set req.http.host = regsub(req.http.host.lower(), "\.?(:[0-9]+)?$", "");
    if (req.http.host !~ "^[a-z0-9.-]+$") {
        return (synth(400, "The host name is malformed"));
    }
    if (req.method == "PURGE" || req.method == "BAN") {
        if (client.ip !~ adapters) {
            return (synth(403, "Only the adapters may do that"));
        }
        if (req.method == "BAN") {
            call ban_matching;
        }
        if (req.http.X-Purge-Tags) {
            call purge_tags;
        }
        # A fetch that hangs must not hold up the purge.
        set req.hash_ignore_busy = true;
        return (hash);
    }
    # No command can name a longer URL, and a ban takes more steps on a longer one than Varnish survives.
    if (req.url ~ "^.{4097}") {
        return (pass);
    }
}

sub ban_matching {
    # White space is what ends an argument of a ban, and later versions know quotation marks; the dialect sends neither.
    if (req.http.X-Ban-Regex ~ {"[\s"]"}) {
        return (synth(400, "White space and quotation marks must be escaped"));
    }
    # Only fields of the object: so the lurker can remove them, whoever asks or not.
    set req.http.x-ban = "obj.http.x-host == " + req.http.host;
    if (req.http.X-Ban-Regex) {
        set req.http.x-ban = req.http.x-ban + " && obj.http.x-url ~ " + req.http.X-Ban-Regex;
    }
    if (std.ban(req.http.x-ban)) {
        return (synth(200, "Banned"));
    }
    return (synth(400, "The ban was refused: " + std.ban_error()));
}

sub purge_tags {
    # The same form as in vcl_backend_response: host name, slash, tag.
    set req.http.x-purge-keys = regsuball(req.http.X-Purge-Tags, "[^ ,]+", req.http.host + "/\0");
    if (req.http.X-Purge-Mode == "soft") {
        set req.http.x-purged = xkey.softpurge(req.http.x-purge-keys);
    } else {
        set req.http.x-purged = xkey.purge(req.http.x-purge-keys);
    }
    return (synth(200, "Purged"));
}

sub purge_url {
    if (req.http.X-Purge-Mode == "soft") {
        set req.http.x-purged = purge.soft();
    } else {
        set req.http.x-purged = purge.hard();
    }
    return (synth(200, "Purged"));
}

sub vcl_hit {
    if (req.method == "PURGE") {
        call purge_url;
    }
    if (obj.ttl > 0s) {
        set req.http.x-cache = "HIT";
    } else {
        set req.http.x-cache = "STALE";
    }
}

sub vcl_miss {
    if (req.method == "PURGE") {
        call purge_url;
    }
    set req.http.x-cache = "MISS";
}

sub vcl_pass {
    # After a pass was decided for a URL, a purge finds nothing that could be served.
    if (req.method == "PURGE") {
        set req.http.x-purged = "0";
        return (synth(200, "Purged"));
    }
    set req.http.x-cache = "PASS";
}

# Puts the host name before each tag. After a 304 the headers are the stored object's, but for those that the 304 brought:
# then `xkey` is what this made of `x-tags` before, and stays so.
sub tags_of_host {
    # The module's old name for xkey.
    unset beresp.http.X-HashTwo;
    if (beresp.http.Surrogate-Key) {
        std.collect(beresp.http.Surrogate-Key, " ");
        set beresp.http.xkey = beresp.http.Surrogate-Key;
        unset beresp.http.x-tags;
    } else if (beresp.http.xkey) {
        std.collect(beresp.http.xkey, " ");
    }
    if (beresp.http.xkey && beresp.http.xkey != regsuball(beresp.http.x-tags, "[^ ,]+", bereq.http.host + "/\0")) {
        set beresp.http.x-tags = beresp.http.xkey;
        set beresp.http.xkey = regsuball(beresp.http.x-tags, "[^ ,]+", bereq.http.host + "/\0");
    }
}

sub vcl_backend_response {
    # What bans and tags look at stays with the object.
    set beresp.http.x-host = bereq.http.host;
    set beresp.http.x-url = bereq.url;
    call tags_of_host;
    # So long a stale object is kept to be compared with the origin's, instead of being fetched whole.
    set beresp.keep = 1h;

    if (std.integer(beresp.http.Content-Length, 0) >= 10000000) {
        set beresp.http.x-store = "too-large";
        set beresp.uncacheable = true;
        set beresp.ttl = 120s;
        return (deliver);
    }
    set beresp.http.x-store = "stored";
}

# Varnish' own rules call this for what may not be stored.
sub vcl_beresp_hitmiss {
    set beresp.http.x-store = "uncacheable";
}

sub vcl_deliver {
    set resp.http.X-Cache = req.http.x-cache;
    if (req.http.x-cache == "PASS") {
        set resp.http.x-store = "uncacheable";
    }
    if (client.ip !~ adapters) {
        unset resp.http.x-store;
    }
    unset resp.http.x-host;
    unset resp.http.x-url;
    unset resp.http.x-tags;
    unset resp.http.xkey;
    unset resp.http.Surrogate-Key;
}

sub vcl_synth {
    if (req.method == "PURGE" || req.method == "BAN") {
        if (req.http.x-purged) {
            set resp.http.X-Purged = req.http.x-purged;
        }
        set resp.http.X-Federation-Purge = "1";
        set resp.http.Content-Type = "text/plain; charset=utf-8";
        set resp.body = resp.reason + {"
"};
        return (deliver);
    }
}
