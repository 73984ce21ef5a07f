---@meta
---Shapes that cross rooms. Times are seconds.

---@class lofi.Error
---@field code string Symbol, such as `INVALID_DURATION`
---@field rpc_code integer
---@field message string
---@field hint string What to do next; may be empty
---@field retryable boolean
---@field data table<string, any>

---@alias lofi.Callback fun(err: lofi.Error?, result: any)

---@class lofi.Track
---@field track_id string
---@field path string
---@field title string
---@field prompt string
---@field duration_sec number
---@field seed integer
---@field backend string
---@field favorite boolean
---@field rating integer?
---@field created_at string

---@class lofi.Playback
---@field state 'playing'|'paused'|'stopped'
---@field track_id string?
---@field title string?
---@field position_sec number
---@field duration_sec number?
---@field volume number 0..1
---@field muted boolean
---@field index integer?
---@field playlist_length integer
---@field device string?

---@class lofi.Generation One job as notifications tell it
---@field track_id string
---@field percent integer
---@field phase string?
---@field eta_sec number?
---@field prompt string?

---@class lofi.SetupOpts
---@field variant? string
---@field lm? '0.6b'|'1.7b'|'4b' A planner too
---@field components? string[] Only these folders of it
---@field source? string A folder to copy from, in place of the network
---@field revision? string A commit in place of the pinned one
---@field repair? boolean Bring the components again, whole or not
---@field consent? boolean The person has said yes to size, licence and source
---@field on_progress? fun(data: table)

---@class lofi.Plan What the planner answers
---@field prompt string
---@field lyrics string
---@field seed integer
---@field request lofi.Generate Makes it

---@class lofi.Generate Parameters of `generate`, and what the plugin adds
---@field prompt? string
---@field preset? string A name of `presets` or of a built-in style
---@field duration_sec? number
---@field seed? integer
---@field backend? string
---@field lyrics? string
---@field batch_size? integer
---@field on_queued? fun(answer: table)
---@field on_start? fun(data: table)
---@field on_progress? fun(data: table)
