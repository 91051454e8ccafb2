package resp

import (
	"runtime"

	"github.com/ebbdb/ebb"
)

// redisVersion is the version of Redis whose commands these are, as clients ask for it.
const redisVersion = "7.0.15"

func serverCommands() []*command {
	return grouped("server", []*command{
		{name: "dbsize", arity: 1, flags: flagRead | flagFast, since: "1.0.0",
			cost:    "O(1) if nothing was written since it was called last, else O(N) with N being the number of keys",
			summary: "Returns the number of keys in the database.", data: dbsize, fast: fastDBSize},
		{name: "flushdb", arity: -1, flags: flagWrite | flagDangerous, since: "1.0.0", cost: "O(1)",
			summary: "Removes all keys from the current database.", data: flushAll, fast: fastFlushAll},
		{name: "flushall", arity: -1, flags: flagWrite | flagDangerous, since: "1.0.0", cost: "O(1)",
			summary: "Removes all keys from all databases.", data: flushAll, fast: fastFlushAll},
		{name: "time", arity: 1, flags: serverFlags | flagFast, since: "2.6.0", cost: "O(1)",
			summary: "Returns the server time.", conn: timeNow},
		{name: "info", arity: -1, flags: serverFlags | flagDangerous, since: "1.0.0", cost: "O(1)",
			summary: "Returns information and statistics about the server.", conn: info},
		{name: "lastsave", arity: 1, flags: serverFlags | flagFast, since: "1.0.0", cost: "O(1)",
			summary: "Returns the Unix timestamp of the last successful save to disk.",
			conn:    func(c *client, _ [][]byte) { c.out.int(c.srv.opts.Clock().Unix()) }},
		{name: "role", arity: 1, flags: serverFlags | flagNoScript | flagFast, since: "2.8.12", cost: "O(1)",
			summary: "Returns the replication role.", conn: func(c *client, _ [][]byte) {
				c.out.array(3)
				c.out.bulkString("master")
				c.out.int(0)
				c.out.array(0)
			}},
		commandCommand(),
		configCommand(),
		slowlogCommand(),
		latencyCommand(),
		memoryCommand(),
		{name: "function", arity: -2, since: "7.0.0", cost: "Depends on subcommand.",
			summary: "A container for function commands.", subs: []*command{
				{name: "flush", arity: -2, flags: flagNoScript | flagWrite, since: "7.0.0", cost: "O(1)",
					summary: "Deletes all libraries and functions: there are none.",
					conn:    func(c *client, _ [][]byte) { c.out.ok() }},
				{name: "list", arity: -2, flags: flagNoScript, since: "7.0.0", cost: "O(1)",
					summary: "Returns information about all libraries: there are none.",
					conn:    func(c *client, _ [][]byte) { c.out.array(0) }},
			}},
		{name: "acl", arity: -2, since: "6.0.0", cost: "Depends on subcommand.",
			summary: "A container for Access List Control commands.", subs: []*command{
				{name: "whoami", arity: 2, flags: connFlags, since: "6.0.0", cost: "O(1)",
					summary: "Returns the authenticated username of the current connection.",
					conn:    func(c *client, _ [][]byte) { c.out.bulkString("default") }},
			}},
		admin("debug", -2, "1.0.0", "A container for debugging commands: refused.",
			refused("ERR DEBUG command not allowed. ebb has none.")),
		{name: "swapdb", arity: 3, flags: flagWrite | flagFast | flagDangerous, since: "4.0.0", cost: "O(1)",
			summary: "Swaps two Redis databases: refused.", conn: refused("ERR DB index is out of range")},
		{name: "save", arity: 1, flags: serverFlags | flagAdmin | flagNoScript | flagNoMulti, since: "1.0.0", cost: "O(1)",
			summary: "Makes all that was written durable.", conn: save},
		{name: "shutdown", arity: -1, flags: serverFlags | flagAdmin | flagNoScript | flagNoMulti, since: "1.0.0", cost: "O(1)",
			summary: "Stops the server: refused.", conn: refused("ERR SHUTDOWN is not allowed: stop the process by a signal")},
		admin("bgsave", -1, "1.0.0", "Makes all that was written durable.", func(c *client, _ [][]byte) {
			if err := c.srv.store.Sync(c.srv.ctx); err != nil {
				c.storeError(err)
				return
			}
			c.out.simple("Background saving started")
		}),
	})
}

const serverFlags = flagLoading | flagStale

// admin returns a command for operators.
func admin(name string, arity int, since, summary string, conn func(*client, [][]byte)) *command {
	return &command{name: name, arity: arity, flags: serverFlags | flagAdmin | flagNoScript, since: since, cost: "O(1)",
		summary: summary, conn: conn}
}

func configCommand() *command {
	return &command{name: "config", arity: -2, since: "2.0.0", cost: "Depends on subcommand.",
		summary: "A container for server configuration commands.", subs: []*command{
			admin("get", -3, "2.0.0", "Returns the effective values of configuration parameters.", configGet),
			admin("set", -4, "2.0.0", "Sets configuration parameters in-flight.", configSet),
			admin("resetstat", 2, "2.0.0", "Resets the server's statistics.", func(c *client, _ [][]byte) {
				c.srv.counts.reset()
				c.out.ok()
			}),
			admin("rewrite", 2, "2.8.0", "Persists the effective configuration to file.",
				refused("ERR The server is running without a config file")),
			help("config", "5.0.0", "GET <pattern>", "    Return parameters matching the glob-like <pattern> and their values.",
				"SET <directive> <value>", "    Set the configuration <directive> to <value>.",
				"RESETSTAT", "    Reset statistics reported by the INFO command.",
				"REWRITE", "    Rewrite the configuration file."),
		}}
}

func slowlogCommand() *command {
	return &command{name: "slowlog", arity: -2, since: "2.2.12", cost: "Depends on subcommand.",
		summary: "A container for slow log commands.", subs: []*command{
			admin("get", -2, "2.2.12", "Returns the slow log's entries.", slowlogGet),
			admin("len", 2, "2.2.12", "Returns the number of entries in the slow log.",
				func(c *client, _ [][]byte) { c.out.int(int64(c.srv.slow.len())) }),
			admin("reset", 2, "2.2.12", "Clears all entries from the slow log.", func(c *client, _ [][]byte) {
				c.srv.slow.reset()
				c.out.ok()
			}),
			help("slowlog", "6.2.0", "GET [<count>]",
				"    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
				"    Entries are made of:",
				"    id, timestamp, time in microseconds, arguments array, client IP and port,",
				"    client name",
				"LEN", "    Return the length of the slowlog.", "RESET", "    Reset the slowlog."),
		}}
}

func save(c *client, _ [][]byte) {
	if err := c.srv.store.Sync(c.srv.ctx); err != nil {
		c.storeError(err)
		return
	}
	c.out.ok()
}

func timeNow(c *client, _ [][]byte) {
	now := c.srv.opts.Clock()
	c.out.array(2)
	c.out.bulk(appendInt(nil, now.Unix()))
	c.out.bulk(appendInt(nil, int64(now.Nanosecond()/1000)))
}

// flushWords checks the arguments of FLUSHALL.
func flushWords(args [][]byte) bool {
	return len(args) == 1 || len(args) == 2 && (equalFold(args[1], "sync") || equalFold(args[1], "async"))
}

func fastFlushAll(c *client, args [][]byte) {
	if !flushWords(args) {
		c.out.err(errSyntax)
		return
	}
	err := c.write1(func(opts ...ebb.WriteOption) error { return c.srv.store.DeleteRange(c.srv.ctx, nil, nil, opts...) })
	if err != nil {
		c.storeError(err)
		return
	}
	c.out.ok()
}

func flushAll(x *exec, args [][]byte) {
	if !flushWords(args) {
		x.out.err(errSyntax)
		return
	}
	if !x.fail(x.tx.DeleteRange(nil, nil)) {
		x.out.ok()
	}
}

func memoryCommand() *command {
	return &command{name: "memory", arity: -2, since: "4.0.0", cost: "Depends on subcommand.",
		summary: "A container for memory diagnostics commands.", subs: []*command{
			{name: "usage", arity: -3, flags: flagRead, keys: keySpec{2, 2, 1}, since: "4.0.0", cost: "O(1)",
				summary: "Estimates the memory usage of a key.", data: memoryUsage},
			{name: "purge", arity: 2, since: "4.0.0", cost: "O(1)", summary: "Asks the allocator to release memory.",
				conn: func(c *client, _ [][]byte) {
					runtime.GC()
					c.out.ok()
				}},
			{name: "doctor", arity: 2, since: "4.0.0", cost: "O(1)", summary: "Outputs a memory problems report.",
				conn: func(c *client, _ [][]byte) { c.out.text("Memory is bounded by the options of ebb.\n") }},
			help("memory", "4.0.0", "DOCTOR", "    Return memory problems reports.",
				"PURGE", "    Attempt to purge dirty pages for reclamation by the allocator.",
				"USAGE <key> [SAMPLES <count>]", "    Return memory in bytes used by <key> and its value."),
		}}
}

// entryOverhead is about what an entry of a memtable takes beside key and value.
const entryOverhead = 56

func memoryUsage(x *exec, args [][]byte) {
	switch {
	case len(args) == 5 && equalFold(args[3], "samples"):
		if n, ok := parseInt(args[4]); !ok {
			x.out.err(errNotInteger)
			return
		} else if n < 0 {
			x.out.err(errSyntax)
			return
		}
	case len(args) != 3:
		x.out.err(errSyntax)
		return
	}
	e, ok := x.stat(args[2])
	if !ok {
		x.out.null()
		return
	}
	x.out.int(int64(len(e.Key) + e.ValueSize + entryOverhead))
}

func latencyCommand() *command {
	return &command{name: "latency", arity: -2, since: "2.8.13", cost: "Depends on subcommand.",
		summary: "A container for latency diagnostics commands.", subs: []*command{
			{name: "histogram", arity: -2, flags: connFlags | flagAdmin, since: "7.0.0", cost: "O(N) where N is the number of commands.",
				summary: "Returns the cumulative distribution of latencies of a subset or all commands.", conn: latencyHistogram},
			{name: "latest", arity: 2, flags: connFlags | flagAdmin, since: "2.8.13", cost: "O(1)",
				summary: "Returns the latest latency samples for all events: none are kept.",
				conn:    func(c *client, _ [][]byte) { c.out.array(0) }},
			{name: "history", arity: 3, flags: connFlags | flagAdmin, since: "2.8.13", cost: "O(1)",
				summary: "Returns timestamp-latency samples for an event: none are kept.",
				conn:    func(c *client, _ [][]byte) { c.out.array(0) }},
			{name: "reset", arity: -2, flags: connFlags | flagAdmin, since: "2.8.13", cost: "O(1)",
				summary: "Resets the latency data for one or more events.", conn: func(c *client, _ [][]byte) { c.out.int(0) }},
			help("latency", "2.8.13", "HISTOGRAM [COMMAND ...]",
				"    Return a cumulative distribution of commands latencies in histogram format."),
		}}
}

func latencyHistogram(c *client, args [][]byte) {
	var list []CommandStats
	for _, st := range c.srv.Stats().PerCommand {
		wanted := len(args) == 2
		for _, name := range args[2:] {
			wanted = wanted || equalFold(name, st.Name)
		}
		if wanted && st.Calls > 0 {
			list = append(list, st)
		}
	}
	c.out.mapOf(len(list))
	for _, st := range list {
		c.out.bulkString(st.Name)
		c.out.mapOf(2)
		c.out.bulkString("calls")
		c.out.int(int64(st.Calls))
		c.out.bulkString("histogram_usec")
		var pairs [][2]int64
		sum := int64(0)
		for i, bound := range LatencyBuckets {
			sum += int64(st.Latency[i])
			if st.Latency[i] > 0 {
				pairs = append(pairs, [2]int64{bound.Microseconds(), sum})
			}
		}
		c.out.mapOf(len(pairs))
		for _, p := range pairs {
			c.out.int(p[0])
			c.out.int(p[1])
		}
	}
}

func commandCommand() *command {
	const flags = flagLoading | flagStale
	return &command{name: "command", arity: -1, flags: flags, since: "2.8.13",
		cost:    "O(N) where N is the total number of Redis commands",
		summary: "Returns detailed information about all commands.",
		conn:    func(c *client, _ [][]byte) { c.describeAll(c.srv.table.list) },
		subs: []*command{
			{name: "count", arity: 2, flags: flags, since: "2.8.13", cost: "O(1)", summary: "Returns a count of commands.",
				conn: func(c *client, _ [][]byte) { c.out.int(int64(len(c.srv.table.list))) }},
			{name: "docs", arity: -2, flags: flags, since: "7.0.0", cost: "O(N) where N is the number of commands to look up",
				summary: "Returns documentary information about one, multiple or all commands.", conn: commandDocs},
			{name: "info", arity: -2, flags: flags, since: "2.8.13", cost: "O(N) where N is the number of commands to look up",
				summary: "Returns information about one, multiple or all commands.", conn: commandInfo},
			{name: "list", arity: -2, flags: flags, since: "7.0.0", cost: "O(N) where N is the total number of Redis commands",
				summary: "Returns a list of command names.", conn: commandList},
			{name: "getkeys", arity: -4, flags: flags, since: "2.8.13", cost: "O(N) where N is the number of arguments to the command",
				summary: "Extracts the key names from an arbitrary command.", conn: commandGetKeys},
			help("command", "5.0.0",
				"(no subcommand)", "    Return details about all Redis commands.",
				"COUNT", "    Return the total number of commands in this Redis server.",
				"LIST", "    Return a list of all commands in this Redis server.",
				"INFO [<command-name> ...]", "    Return details about multiple Redis commands.",
				"    If no command names are given, documentation details for all",
				"    commands are returned.",
				"DOCS [<command-name> ...]", "    Return documentation details about multiple Redis commands.",
				"    If no command names are given, documentation details for all",
				"    commands are returned.",
				"GETKEYS <full-command>", "    Return the keys from a full Redis command."),
		}}
}
