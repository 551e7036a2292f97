-- 10 MB and more is not stored, and whoever loads is told so.
-- The record proxy.config.cache.max_doc_size does not do it: objects above it were stored all the same.

local LIMIT = 10000000

function do_global_read_response()
    local length = tonumber(ts.server_response.header['Content-Length'])
    if length and length >= LIMIT then
        ts.http.set_server_resp_no_store(1)
        ts.server_response.header['X-Store'] = 'too-large'
    end
    return 0
end

-- So an adapter knows that it was this cache that answered a purge.
function do_global_send_response()
    if ts.client_request.get_method() == 'PURGE' then
        ts.client_response.header['X-Federation-Purge'] = '1'
    end
    return 0
end
