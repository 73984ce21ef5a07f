---The tracks there are: the cache's part of the public API.

local answer = require('lofi.answer')
local check = require('lofi.check')
local state = require('lofi.state')

local M = {}

---@param count integer
---@return string
local function tracks(count)
  return count == 1 and '1 track' or count .. ' tracks'
end

---@param bytes number?
---@return string
local function megabytes(bytes)
  return ('%.1f MB'):format((bytes or 0) / 1e6)
end

---Returns the tracks known, newest first; with a callback asks for `{ tracks, total }`.
---@param filter? table Parameters of `cache_list`
---@param callback? lofi.Callback
---@return lofi.Track[]?
function M.cache(filter, callback)
  check.type('filter', filter, 'table?')
  if callback then
    return answer.ask('cache_list', filter or {}, callback)
  end
  local list = vim.tbl_values(state.now.tracks)
  table.sort(list, function(a, b)
    return (a.created_at or '') > (b.created_at or '')
  end)
  return list
end

---Asks for `{ track, recipe, sidecar }`.
---@param track_id string
---@param callback lofi.Callback
function M.track(track_id, callback)
  check.type('track_id', track_id, 'string')
  answer.ask('cache_get', { track_id = track_id }, callback)
end

---@param track_ids string|string[]
---@param callback? lofi.Callback
function M.cache_delete(track_ids, callback)
  check.type('track_ids', track_ids, { 'string', 'table' })
  local ids = type(track_ids) == 'table' and track_ids or { track_ids }
  answer.ask('cache_delete', { track_ids = ids }, callback, function(result)
    return ('deleted %s, %s freed'):format(tracks(#result.deleted), megabytes(result.freed_bytes))
  end)
end

---Deletes all tracks but favourites.
---@param opts? { keep_favorites?: boolean, older_than_days?: number }
---@param callback? lofi.Callback
function M.cache_clear(opts, callback)
  answer.ask('cache_clear', opts or {}, callback, function(result)
    return ('deleted %s, %s freed'):format(tracks(result.deleted), megabytes(result.freed_bytes))
  end)
end

---Returns the last known figures; with a callback asks for them.
---@param callback? lofi.Callback
---@return table?
function M.cache_stats(callback)
  if not callback then
    return state.now.cache_stats
  end
  answer.ask('cache_stats', {}, callback)
end

---Removes what no track needs, then the least recently used above the limits.
---@param callback? lofi.Callback
function M.cache_gc(callback)
  answer.ask('cache_gc', {}, callback, function(result)
    return ('removed %d files, %s freed'):format(
      result.removed_files,
      megabytes(result.freed_bytes)
    )
  end)
end

---@param track_id? string The current track when left out, else the newest
---@param is_favorite? boolean true when left out
---@param callback? lofi.Callback
function M.favorite(track_id, is_favorite, callback)
  check.type('track_id', track_id, 'string?')
  check.type('is_favorite', is_favorite, 'boolean?')
  answer.with_track(track_id, callback, function(id)
    local params = { track_id = id, favorite = is_favorite ~= false }
    answer.ask('cache_favorite', params, callback, function(result)
      local track = result.track
      return ('%s %s'):format(
        track.favorite and 'a favourite now:' or 'no favourite now:',
        track.title
      )
    end)
  end)
end

---@param track_id? string The current track when left out, else the newest
---@param rating integer 0..5
---@param callback? lofi.Callback
function M.rate(track_id, rating, callback)
  check.type('track_id', track_id, 'string?')
  check.type('rating', rating, 'number')
  answer.with_track(track_id, callback, function(id)
    answer.ask('cache_update', { track_id = id, rating = rating }, callback, function(result)
      return ('%d of 5: %s'):format(result.track.rating or rating, result.track.title)
    end)
  end)
end

---Writes a track to a file or a folder.
---@param track_id? string The current track when left out, else the newest
---@param path string
---@param opts? { format?: string, overwrite?: boolean, metadata?: boolean, bitrate_kbps?: integer }
---@param callback? lofi.Callback
function M.export(track_id, path, opts, callback)
  check.type('track_id', track_id, 'string?')
  check.type('path', path, 'string')
  answer.with_track(track_id, callback, function(id)
    local params = vim.tbl_extend('force', opts or {}, {
      track_id = id,
      path = answer.absolute(path),
    })
    answer.ask('cache_export', params, callback, function(result)
      return ('written: %s (%s)'):format(result.path, megabytes(result.bytes))
    end)
  end)
end

---Takes a sound file into the cache.
---@param path string
---@param opts? { title?: string, prompt?: string, copy?: boolean }
---@param callback? lofi.Callback
function M.import(path, opts, callback)
  check.type('path', path, 'string')
  local params = vim.tbl_extend('force', opts or {}, { path = answer.absolute(path) })
  answer.ask('cache_import', params, callback, function(result)
    return ('imported as %s: %s'):format(result.track.track_id, result.track.title)
  end)
end

---Asks for the request that makes the track again.
---@param track_id? string The current track when left out, else the newest
---@param callback lofi.Callback
function M.recipe(track_id, callback)
  check.type('track_id', track_id, 'string?')
  answer.with_track(track_id, callback, function(id)
    answer.ask('cache_recipe', { track_id = id }, callback)
  end)
end

---Asks for the shape of a track, `{ peaks }`.
---@param track_id string
---@param callback lofi.Callback
function M.waveform(track_id, callback)
  check.type('track_id', track_id, 'string')
  answer.ask('waveform', { track_id = track_id }, callback)
end

---Asks for what can be measured in a track.
---@param track_id string
---@param callback lofi.Callback
function M.analyze(track_id, callback)
  check.type('track_id', track_id, 'string')
  answer.ask('analyze', { track_id = track_id }, callback)
end

return M
