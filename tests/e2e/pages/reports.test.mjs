// Reports: saved, counted on demand, looked at and downloaded, scheduled to a channel, changed and deleted; a channel that is
// gone is said.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { assertAccessible, Console, password } from "../support/console.mjs";

let ui;
let channel;
before(async () => {
  ui = await Console.start();
  await ui.api("POST", "/api/v1/accounts", {
    name: "upstream",
    provider: "fake",
    protocol: "openai",
    base_url: `${ui.provider.url}/v1`,
    api_key: "sk-upstream",
    models: ["gpt-4o", "gpt-4o-mini"],
  });
  const key = await ui.api("POST", "/api/v1/tokens", { name: "shop" });
  for (const model of ["gpt-4o", "gpt-4o", "gpt-4o-mini"]) {
    const answer = await fetch(`${ui.url}/v1/chat/completions`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${key.token}`,
        "content-type": "application/json",
      },
      body: JSON.stringify({
        model,
        messages: [{ role: "user", content: "Hello" }],
      }),
    });
    await answer.text();
  }
  const deadline = Date.now() + 15_000;
  for (;;) {
    const { request_count } = await ui.api("GET", "/api/v1/stats/overview");
    if (request_count === 3) break;
    assert.ok(
      Date.now() < deadline,
      `${request_count} of 3 calls on the books`,
    );
    await new Promise((wake) => setTimeout(wake, 100));
  }
  channel = await ui.api("POST", "/api/v1/ops/alerts/channels", {
    name: "people",
    kind: "email",
    to: ["ada@example.com"],
    takes_all: false,
  });
});
after(() => ui?.stop());

const button = (scope, name) =>
  scope.getByRole("button", { name, exact: true });
const dialog = (page, name) => page.getByRole("dialog", { name });
const row = (page, text) =>
  page.locator("[role=row][data-index]", { hasText: text });

test("without a report the page says what to do; one is made, counted, looked at and downloaded", () =>
  ui.visit("/ops/reports", async (page) => {
    await page.getByText("No reports yet").waitFor();
    await assertAccessible(page, "reports, empty");
    await button(page, "New report").last().click();
    const form = dialog(page, "New report");
    await form.locator("[name=name]").fill("Models this month");
    await form.locator("[name=range]").selectOption("this_month");
    await form.getByRole("checkbox", { name: "Success rate" }).check();
    await assertAccessible(page, "a new report");
    await button(form, "Save").click();

    const drawer = dialog(page, "Models this month");
    await drawer.getByText("It has not run yet.").waitFor();
    await button(drawer, "Run now").click();
    await drawer.getByText("2 rows").waitFor();
    await drawer.getByText("fake / gpt-4o-mini").waitFor();
    const told = await drawer.innerText();
    assert.match(told, /Requests\s+3\s/);
    await assertAccessible(page, "a report that was counted");
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      button(drawer, "CSV").click(),
    ]);
    assert.match(file.suggestedFilename(), /^report-.*\.csv$/);
    const lines = (await readFile(await file.path(), "utf8"))
      .replace("\ufeff", "")
      .trim()
      .split("\r\n");
    assert.equal(
      lines[0],
      "name,provider,request_count,success_rate,total_tokens,cost,currency",
    );
    assert.match(lines[1], /^gpt-4o,fake,2,1\.0,/);
    const [html] = await Promise.all([
      page.waitForEvent("download"),
      button(drawer, "Page").click(),
    ]);
    assert.match(
      await readFile(await html.path(), "utf8"),
      /src="data:image\/png;base64,/,
    );
  }));

test("a schedule and a channel are set, and a channel that is gone is said", async () => {
  await ui.visit(
    "/ops/reports",
    async (page) => {
      await row(page, "Models this month").click();
      await button(dialog(page, "Models this month"), "Edit").click();
      const form = dialog(page, "Edit Models this month");
      await form.locator("[name=every]").selectOption("week");
      await form.locator("[name=at]").fill("25:00");
      await form.locator("[name=weekday]").selectOption("5");
      await form.locator("[name=channel_id]").selectOption({ label: "people" });
      await button(form, "Save").click();
      await form.getByText("must be a time such as 07:30").first().waitFor();
      await form.locator("[name=at]").fill("07:05");
      await button(form, "Save").click();
      const drawer = dialog(page, "Models this month");
      await drawer.getByText("Friday at 07:05").waitFor();
      await drawer.getByText("people").first().waitFor();
      await button(drawer, "Run and send").waitFor();
    },
    { tolerated: [/status of 422/] },
  );
  const [report] = (await ui.api("GET", "/api/v1/reports")).items;
  assert.deepEqual(report.schedule, {
    every: "week",
    at: "07:05",
    weekday: 5,
    day: null,
  });
  assert.equal(new Date(report.next_run_at).getUTCMinutes(), 5);
  await ui.api("DELETE", `/api/v1/ops/alerts/channels/${channel.id}`);
  await ui.visit(`/ops/reports/${report.id}`, async (page) => {
    await dialog(page, "Models this month")
      .getByText("the channel was removed")
      .waitFor();
    await assertAccessible(page, "a report whose channel is gone");
  });
});

test("two operators at one report: what both changed stands in the end; j and k walk the reports", async () => {
  const [report] = (await ui.api("GET", "/api/v1/reports")).items;
  const second = await ui.api("POST", "/api/v1/reports", {
    name: "Another one",
    group_by: "app",
  });
  await ui.visit(
    `/ops/reports/${report.id}`,
    async (page) => {
      const drawer = dialog(page, "Models this month");
      await button(drawer, "Edit").click();
      const form = dialog(page, "Edit Models this month");
      await form.locator("[name=limit]").fill("7");
      const signedIn = await ui.api("POST", "/api/v1/auth/login", {
        username: "admin",
        password,
      });
      const answer = await fetch(`${ui.url}/api/v1/reports/${report.id}`, {
        method: "PATCH",
        headers: {
          authorization: `Bearer ${signedIn.access_token}`,
          "content-type": "application/json",
          "if-match": `"${(await ui.api("GET", `/api/v1/reports/${report.id}`)).version}"`,
        },
        body: JSON.stringify({ language: "zh-CN" }),
      });
      assert.equal(answer.status, 200, await answer.text());
      await button(form, "Save").click();
      const question = dialog(page, "Somebody else changed this meanwhile");
      await question.getByText('"language": "zh-CN"').waitFor();
      await button(question, "Keep my changes").click();
      await page.getByText("Models this month is saved").waitFor();
      const { limit, language } = await ui.api(
        "GET",
        `/api/v1/reports/${report.id}`,
      );
      assert.deepEqual({ limit, language }, { limit: 7, language: "zh-CN" });

      const at = await drawer.getByText(/^[12] of 2$/).innerText();
      await page.keyboard.press(at.startsWith("1") ? "j" : "k");
      await dialog(page, "Another one").waitFor();
      await page.waitForURL(`**/ops/reports/${second.id}`);
    },
    { tolerated: [/412 .*\/api\/v1\/reports/] },
  );
  await ui.api("DELETE", `/api/v1/reports/${second.id}`);
});

test("on a phone and in Chinese it is the same report; it is deleted by its name", async () => {
  const [report] = (await ui.api("GET", "/api/v1/reports")).items;
  await ui.visit(
    `/ops/reports/${report.id}`,
    async (page) => {
      await dialog(page, "Models this month")
        .getByText("每周五 07:05")
        .waitFor();
      await assertAccessible(page, "a report on a phone");
    },
    { size: "phone", language: "zh" },
  );
  await ui.visit(`/ops/reports/${report.id}`, async (page) => {
    await button(dialog(page, "Models this month"), "Delete").click();
    const sure = page
      .getByRole("alertdialog")
      .or(dialog(page, "Delete Models this month?"));
    await sure.getByRole("textbox").fill("Models this month");
    await button(sure, "Delete").click();
    await page.getByText("No reports yet").waitFor();
  });
  assert.equal((await ui.api("GET", "/api/v1/reports")).items.length, 0);
});
