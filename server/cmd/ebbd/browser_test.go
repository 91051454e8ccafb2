package main

import (
	"context"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browsers are the names that Chromium has.
var browsers = []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"}

// browser returns Chromium. In CI it has to be there.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("there is none of %v, which .ci/run installs", browsers)
	}
	t.Skipf("SKIPPED: THE LIVE PAGE IS NOT LOOKED AT: there is none of %v ('apt-get install chromium-headless-shell' brings one)", browsers)
	return ""
}

// open opens a page in a browser of its own and returns what it prints on standard output. What the page says on its console,
// and what the browser refuses to load, is an error of the test.
func open(t *testing.T, url string, flags ...string) string {
	t.Helper()
	args := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--enable-logging=stderr",
		"--user-data-dir=" + t.TempDir(), "--virtual-time-budget=6000", "--hide-scrollbars"}, flags...)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute) // it takes 4 s
	defer cancel()
	cmd := exec.CommandContext(ctx, browser(t), append(args, url)...)
	var stderr strings.Builder
	cmd.Stderr, cmd.WaitDelay = &stderr, 10*time.Second
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	for line := range strings.Lines(stderr.String()) {
		if strings.Contains(line, "CONSOLE") {
			t.Errorf("console: %s", line)
		}
	}
	return string(out)
}

// artifacts is where screenshots go: CI_ARTIFACTS, or what -outputdir and -artifacts say, or nowhere that lasts.
func artifacts(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("CI_ARTIFACTS")
	if dir == "" {
		return t.ArtifactDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The page in a real browser: figures arrive, all is drawn, nothing goes wrong, and a password in the address does.
func TestPageInABrowser(t *testing.T) {
	browser(t)
	c := start(t, []string{"EBBD_REQUIREPASS=secret"}, "-dir", t.TempDir(), "-sync", "never", "-slowlog-slower-than", "0s")
	client := c.dial()
	client.do("AUTH secret")
	fill(t, client)
	_ = client.SetDeadline(time.Time{}) // it lives as long as the browser takes
	stop := make(chan struct{})
	busy := make(chan error, 1)
	go func() { // so that there is throughput, until the end
		var err error
		for i := 0; err == nil; i++ {
			select {
			case <-stop:
				busy <- nil
				return
			default:
			}
			if _, err = fmt.Fprintf(client, "GET session:%08d\r\n", i%3000); err == nil {
				_, err = client.reply()
			}
		}
		busy <- err
	}()
	address := fmt.Sprintf("http://ebb:secret@%s/", c.figures)
	light, dark := filepath.Join(artifacts(t), "page-light.png"), filepath.Join(artifacts(t), "page-dark-narrow.png")
	dom := open(t, address, "--dump-dom", "--window-size=1280,1900", "--screenshot="+light)
	open(t, address, "--window-size=500,3000", "--blink-settings=preferredColorScheme=0", "--screenshot="+dark)
	if strings.Contains(dom, "data-errors") {
		t.Errorf("errors: %s", regexp.MustCompile(`data-errors="[^"]*"`).FindString(dom))
	}
	for what, want := range map[string]string{
		"samples":          `data-samples="([3-9]|\d\d)"`,
		"state":            `class="badge serving">serving<`,
		"rate":             `<b id="rate">[\d.]+( k)?</b>`,
		"latency":          `<b id="p99">[\d.]+ (µs|ms|s)</b>`,
		"clients":          `<b id="clients">1</b>`,
		"hits":             `<b id="hits">[\d.]+ %</b>`,
		"keys":             `<b id="entries">[\d.]+ k</b>`,
		"disk":             `<b id="disk">[\d.]+ (KiB|MiB)</b>`,
		"line":             `aria-label="Commands a second: commands a second [\d.]+( k)?, errors a second 0"`,
		"expires soon":     `aria-label="Within a minute: [\d.]+ KiB, [\d.,]+ ?k? keys"`,
		"bars":             `class="bar" x="`,
		"stack":            `aria-label="Memory, of which the database may take 256 MiB: memtables [\d.]+ [KM]iB`,
		"prefix":           `<td class="code">session:</td><td class="n">[\d.]+ KiB</td>`,
		"escaped prefix":   `<td class="code">&lt;i&gt;/</td>`,
		"command":          `<td class="code">get</td>`,
		"slow":             `GET session:\d{8}`,
		"levels":           `<th scope="col" class="">level</th>`,
		"no trouble":       `id="trouble" class="trouble" role="alert" hidden`,
		"tables on demand": `<summary>As a table</summary>`,
	} {
		if !regexp.MustCompile(want).MatchString(dom) {
			t.Errorf("%s: no %s", what, want)
		}
	}
	for _, path := range []string{light, dark} {
		t.Logf("screenshot: %s", path)
		if err := drawn(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	close(stop)
	if err := <-busy; err != nil {
		t.Error(err)
	}
	c.stop()
	if t.Failed() {
		t.Log(dom)
	}
}

// fill writes keys of several prefixes, which expire at different times.
func fill(t *testing.T, client *conn) {
	t.Helper()
	var b strings.Builder
	n := 0
	set := func(format string, args ...any) {
		fmt.Fprintf(&b, format+"\r\n", args...)
		n++
	}
	value := strings.Repeat("v", 100)
	for i := range 3000 {
		set("SET session:%08d %s EX %d", i, value, 10+i%3600)
		set("SET cache:page:%08d %s EX %d", i, value, 60+i*20)
		set("SET <i>/%08d %s", i, value)
	}
	go fmt.Fprint(client, b.String())
	for range n {
		if got, err := client.reply(); got != "+OK" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

// drawn says what is wrong with a screenshot: one color, or none of the colors of the charts.
func drawn(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		return err
	}
	seen := make(map[[3]uint32]int)
	bounds := img.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			r, g, b, _ := img.At(x, y).RGBA()
			seen[[3]uint32{r >> 8, g >> 8, b >> 8}]++
		}
	}
	bars := seen[[3]uint32{0x0b, 0x7f, 0x75}] + seen[[3]uint32{0x4c, 0xc9, 0xbb}] // --three, light and dark
	if len(seen) < 50 || bars < 1000 {
		return fmt.Errorf("%d colors, %d pixels of bars", len(seen), bars)
	}
	return nil
}
