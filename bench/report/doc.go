// Package report turns what was measured into tables for a terminal and in Markdown, into JSON with everything in it, and into
// one HTML page with charts that needs nothing else.
//
// echarts.common.min.js is Apache ECharts 5.6.0, as published, with its licence at the top. Apache ECharts, Copyright 2017-2024
// The Apache Software Foundation; this product includes software developed at The Apache Software Foundation
// (https://www.apache.org/).
package report
